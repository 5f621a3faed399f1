"""What is large is read a few at a time, and nothing is left out for that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import randbytes

from infra.adapters.event_store import Append, NewEvent, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.feed import read_ahead
from infra.ids import new_uuid7
from infra.settings import Settings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def one(stream_id: str, expected: int = 0, count: int = 1, data: bytes = b"{}") -> Append:
    new = [NewEvent("thing.happened", 1, data, new_uuid7()) for _ in range(count)]
    return Append("acme", (Write(stream_id, expected, new),), NOW)


@asynccontextmanager
async def opened(url: str, settings: Settings, bytes_max: int) -> AsyncIterator[PostgresEventStore]:
    store = await PostgresEventStore.open(url, settings.model_copy(update={"read_bytes_max": bytes_max}))
    try:
        yield store
    finally:
        await store.close()


class TestLargeEvents:
    async def test_come_a_few_at_a_time_and_all_of_them(self, database_url: str, settings: Settings) -> None:
        async with opened(database_url, settings, 10_000) as store:
            for number in range(40):
                data = b'{"n":"%s"}' % randbytes(1_500).hex().encode() if number % 4 else b"{}"
                await store.append(one(f"thing-{number}", data=data))
            first = await store.read(0, 100)
            assert not first.complete
            assert 1 <= len(first) < 10
            assert (await store.read(40 - 2, 100)).complete
            for size in (3, 100):
                parts = [part async for part in read_ahead(store, 0, 40, ["thing.happened"], size)]
                assert [record.position for records, _ in parts for record in records] == list(range(1, 41))
                assert parts[-1][1] == 40

    async def test_come_one_at_a_time_if_each_is_too_large(self, database_url: str, settings: Settings) -> None:
        async with opened(database_url, settings, 1) as store:
            await store.append(one("thing-1", 0, 3))
            assert [record.position for record in await store.read(1, 100)] == [2]
