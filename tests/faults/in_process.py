"""Consumers in the test's own process, on a real database and a delivery that the test makes up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import psycopg

from events.catalog import CATALOG as EVENTS
from infra.adapters.event_store import EventStore, Record
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.command_bus import CommandBus
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed, Source
from infra.engines.handler import Handler
from infra.engines.projector import Projector
from infra.engines.saga_runner import SagaRunner
from infra.patterns.projection import Projection
from infra.patterns.saga import Saga
from infra.settings import Settings
from write_side.catalog import CATALOG as DECIDERS

WINDOW = 50
COPIES_MAX = 5
BLOCK = 500
SILENCE_S = 1.0
REST_S_MAX = 60.0
QUIET_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Base:
    """What consumers need of a database."""

    database_url: str
    store: PostgresEventStore
    bus: CommandBus
    settings: Settings

    def projectors(self, projections: Sequence[Projection[Any]]) -> list[Handler]:
        return [Projector(projection, self.store, EVENTS, self.settings) for projection in projections]

    def runners(self, sagas: Sequence[Saga[Any]]) -> list[Handler]:
        return [SagaRunner(saga, self.store, self.bus, EVENTS, self.settings) for saga in sagas]


@asynccontextmanager
async def base(database_url: str, settings: Settings) -> AsyncIterator[Base]:
    store = await PostgresEventStore.open(database_url, settings)
    try:
        yield Base(database_url, store, CommandBus(store, DECIDERS, EVENTS, settings), settings)
    finally:
        await store.close()


def in_order(store: EventStore) -> Source:
    """The log as it is."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            records = await store.read(after, BLOCK)
            if records:
                after = records[-1].position
                yield records
            else:
                await asyncio.sleep(0.01)

    return follow


def disturbed(records: Sequence[Record], random: Random) -> list[Record]:
    """Each event one to five times, none further than the window from its place."""
    deliveries = [
        (at + random.uniform(0, WINDOW), record) for at, record in enumerate(records) for _ in _copies(random)
    ]
    return [record for _, record in sorted(deliveries, key=lambda delivery: delivery[0])]


def _copies(random: Random) -> range:
    return range(random.randint(1, COPIES_MAX))


def unruly(store: EventStore, random: Random) -> Source:
    """The log duplicated and out of order, in pieces of any size; some of it is left to be found out."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            records = await store.read(after, BLOCK)
            if not records:
                await asyncio.sleep(0.01)
                continue
            after = records[-1].position
            deliveries = disturbed(records, random)
            while deliveries:
                size = random.randint(1, 2 * WINDOW)
                yield deliveries[:size]
                deliveries = deliveries[size:]

    return follow


class FeedFromTheBeginning(Feed):
    """Follows the log from position 0, so that a source can disturb all of it."""

    async def run(self) -> None:
        self.running = True
        async for records in self._source(self.position):
            await self._take(records)


class UnrulyFeed(FeedFromTheBeginning):
    """Gives consumers what they have had already, several times, and in a wrong order."""

    random = Random(7)

    async def after(self, position: int, limit: int, timeout_s: float, *waiting: Any) -> list[Record]:
        await asyncio.sleep(0)
        begin = max(0, position - self.random.randint(0, WINDOW))
        if position >= self.position:
            return await super().after(position, limit, timeout_s, *waiting)
        return disturbed(await super().after(begin, 3 * WINDOW, timeout_s, *waiting), self.random)


@asynccontextmanager
async def consuming(base: Base, handlers: Sequence[Handler], feed: Feed | None = None) -> AsyncIterator[list[Consumer]]:
    """Run consumers on a feed, an ordinary one if none is given; what breaks down is raised at the end."""
    feed = feed or FeedFromTheBeginning(base.store, in_order(base.store), base.settings)
    consumers = [
        Consumer(handler, base.store, feed, base.database_url, base.settings, lambda *_: None) for handler in handlers
    ]
    tasks = [asyncio.create_task(feed.run()), *(asyncio.create_task(consumer.run()) for consumer in consumers)]
    try:
        yield consumers
    finally:
        broken = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not any(broken), broken


async def at_rest(base: Base, consumers: Sequence[Consumer], within_s: float = REST_S_MAX) -> int:
    """Wait until every consumer has seen the whole log and nothing is added to it; gives the head."""
    async with asyncio.timeout(within_s):
        quiet, before = 0, -1
        while quiet < QUIET_ROUNDS:
            head = await base.store.head()
            settled = head == before and all(consumer.position == head for consumer in consumers)
            quiet, before = (quiet + 1 if settled else 0), head
            await asyncio.sleep(0.05)
    return head


async def run_to_rest(base: Base, handlers: Sequence[Handler], feed: Feed | None = None) -> int:
    async with consuming(base, handlers, feed) as consumers:
        return await at_rest(base, consumers)


async def written_by_sagas(base: Base, after: int) -> list[str]:
    """The events after a position and the timers, with ids replaced by what they stand for: the same in two equal runs."""
    records = await base.store.read(0, 1_000_000)
    named = {record.id: f"@{record.position}" for record in records}
    found: list[str] = []
    for record in records[after:]:
        origin = orjson.loads(record.metadata)
        cause, _, rest = origin["command_id"].partition("/")
        data = record.data if isinstance(record.data, bytes) else orjson.dumps(record.data)
        where = f"{record.tenant_id} {record.stream_id} {record.stream_version} {record.type}"
        found.append(f"{where} {named[cause]}/{rest} {data.decode()}")
    async with await psycopg.AsyncConnection.connect(base.database_url) as connection:
        query = "SELECT timer_id, due_at, tenant_id, command, fields::text FROM timer"
        async for timer_id, due_at, *timer in await connection.execute(query):
            cause, _, rest = timer_id.partition("/")
            found.append(f"timer {named[cause]}/{rest} {due_at.isoformat()} {timer}")
    return sorted(found)


async def letters(base: Base) -> list[tuple[str, int, str, str, str]]:
    """The parked events: consumer, position, tenant, stream and cause, in order."""
    async with await psycopg.AsyncConnection.connect(base.database_url) as connection:
        query = "SELECT consumer, position, tenant_id, stream_id, cause FROM dead_letter ORDER BY consumer, position"
        return await (await connection.execute(query)).fetchall()


async def until_letters(base: Base, count: int, within_s: float = REST_S_MAX) -> None:
    """Wait until so many events are parked."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while len(await letters(base)) != count:
                await asyncio.sleep(0.05)
            return
    raise AssertionError(f"{len(await letters(base))} events are parked, not {count}")
