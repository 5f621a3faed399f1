"""The log under load: many writers, competitors for the same versions, and readers that follow them all the while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.adapters.event_store import Append, Appended, EventStore, NewEvent, Record, StreamMoved, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.feed import Feed, Source
from infra.ids import new_uuid7
from infra.settings import Settings

pytestmark = pytest.mark.servers
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
WRITERS = 16
EVENTS = 200_000
BATCH = 50
COMPETITORS = 50_000
HOT_STREAMS = 10
STORES = 5


@asynccontextmanager
async def opened(count: int, url: str, settings: Settings) -> AsyncIterator[list[PostgresEventStore]]:
    """So many stores, as if each were another process."""
    async with AsyncExitStack() as stack:
        stores: list[PostgresEventStore] = []
        for _ in range(count):
            stores.append(await PostgresEventStore.open(url, settings))
            stack.push_async_callback(stores[-1].close)
        yield stores


def batch(stream_id: str, expected: int, size: int) -> Append:
    new = [NewEvent("thing.happened", 1, b'{"some":"data"}', new_uuid7()) for _ in range(size)]
    return Append("acme", (Write(stream_id, expected, new),), NOW)


async def write(store: EventStore, number: int) -> None:
    """One writer's share, each batch in a stream of its own and some streams in several."""
    for turn in range(EVENTS // WRITERS // BATCH):
        stream, expected = divmod(turn * BATCH, 5 * BATCH)
        await store.append(batch(f"thing-{number}x{stream}", expected, BATCH))


def polling(store: EventStore) -> Source:
    """A source of the feed that asks the log itself."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            records = await store.read(after, 2_000)
            if records:
                after = records[-1].position
            yield records
            await asyncio.sleep(0.005)

    return follow


class Reader:
    """Takes what it is given and notices what comes twice, too early or never."""

    def __init__(self) -> None:
        self.position = 0
        self.ids: set[str] = set()

    def take(self, records: list[Record]) -> None:
        for record in records:
            assert record.position == self.position + 1
            self.position = record.position
            self.ids.add(record.id)

    async def tail(self, store: EventStore) -> None:
        while self.position < EVENTS:
            records = await store.read(self.position, 2_000)
            self.take(records)
            if not records:
                await asyncio.sleep(0.002)

    async def follow(self, feed: Feed) -> None:
        while self.position < EVENTS:
            self.take(await feed.after(self.position, 1_000, 0.5))


class TestManyWriters:
    async def test_leave_no_gap_and_readers_see_each_event_once_and_in_order(
        self, database_url: str, settings: Settings
    ) -> None:
        async with opened(4, database_url, settings) as stores:
            feed = Feed(stores[0], polling(stores[0]), settings)
            feeding = asyncio.create_task(feed.run())
            tailing, following = Reader(), Reader()
            writers = [write(stores[number % len(stores)], number) for number in range(WRITERS)]
            try:
                async with asyncio.timeout(100):
                    await asyncio.gather(tailing.tail(stores[1]), following.follow(feed), *writers)
            finally:
                feeding.cancel()
            assert await stores[0].head() == EVENTS
            assert await stores[0].read(EVENTS, 10) == []
            assert len(tailing.ids) == len(following.ids) == EVENTS


class TestCompetitors:
    async def test_have_exactly_one_winner_per_version(self, database_url: str, settings: Settings) -> None:
        winners: dict[tuple[str, int], int] = {}
        attempts = 0

        async def compete(store: EventStore, stream_id: str, share: int) -> None:
            nonlocal attempts
            expected = 0
            for _ in range(share):
                attempts += 1
                try:
                    answer: Appended = await store.append(batch(stream_id, expected, 1))
                except StreamMoved as moved:
                    expected = moved.details["actual"]
                else:
                    assert (stream_id, answer.version) not in winners
                    winners[stream_id, answer.version] = answer.position
                    expected = answer.version

        async with opened(STORES, database_url, settings) as stores:
            each = 4
            share = COMPETITORS // (HOT_STREAMS * STORES * each)
            streams = [f"hot-{number}" for number in range(HOT_STREAMS)]
            contest: list[Any] = [
                compete(store, stream_id, share) for store in stores for stream_id in streams for _ in range(each)
            ]
            async with asyncio.timeout(100):
                await asyncio.gather(*contest)
            assert attempts == COMPETITORS
            assert sorted(winners.values()) == list(range(1, await stores[0].head() + 1))
            for stream_id in streams:
                records = await stores[0].load("acme", stream_id)
                assert [record.stream_version for record in records] == list(range(1, len(records) + 1))
                assert [record.position for record in records] == [
                    winners[stream_id, version] for version in range(1, len(records) + 1)
                ]
            assert len(winners) < COMPETITORS
