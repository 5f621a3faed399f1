"""Consumers in the test's own process, on a real database: a log to write, a feed that follows it, and a handler that takes notes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from infra.adapters.checkpoints import Board, Effect
from infra.adapters.event_store import Append, EventStore, NewEvent, Record, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.cancellation import end
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed, Source
from infra.engines.handler import Handler
from infra.engines.poison import Poison
from infra.ids import new_uuid7
from infra.settings import Settings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ORIGIN = b'{"actor":"user:alice","command_id":"c1","correlation_id":"c1","causation_id":"c1"}'
Connection = psycopg.AsyncConnection[Any]


def polling(store: EventStore) -> Source:
    """The log as it is."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            records = await store.read(after, 1_000)
            after = records[-1].position if records else after
            yield records
            await asyncio.sleep(0.005)

    return follow


@dataclass(slots=True)
class Place:
    """A database with a log, and the consumers that a test runs on it."""

    url: str
    store: PostgresEventStore
    settings: Settings
    versions: dict[tuple[str, str], int] = field(default_factory=dict)

    async def write(self, stream_id: str, *types: str, tenant_id: str = "acme", data: bytes = b"{}") -> int:
        """Append events of these types; gives the last position."""
        key = (tenant_id, stream_id)
        new = [NewEvent(type, 1, data, new_uuid7()) for type in types]
        append = Append(tenant_id, (Write(stream_id, self.versions.get(key, 0), new),), NOW, ORIGIN)
        answer = await self.store.append(append)
        self.versions[key] = answer.version
        return answer.position

    @asynccontextmanager
    async def running(self, *handlers: Handler, feed: Feed | None = None) -> AsyncIterator[list[Consumer]]:
        """Run consumers until the end of the block; a breakdown of one of them is raised there."""
        feed = feed or Feed(self.store, polling(self.store), self.settings)
        board = Board(self.store.shard, self.settings.consumer_control_poll_s / 2)
        shared = self.store, feed, self.url, self.settings, lambda *_: None, None, board
        consumers = [Consumer(handler, *shared) for handler in handlers]
        tasks = [asyncio.create_task(feed.run(0)), *(asyncio.create_task(consumer.run()) for consumer in consumers)]
        try:
            yield consumers
        finally:
            broken = [task.exception() for task in tasks if task.done() and not task.cancelled()]
            await end(*tasks)
        assert not any(broken), broken

    async def seen(self, consumers: Sequence[Consumer], position: int) -> None:
        """Wait until all have come so far."""
        await until(lambda: all(consumer.position >= position for consumer in consumers))

    async def run(self, *handlers: Handler) -> None:
        """Run consumers until they have seen the whole log."""
        async with self.running(*handlers) as consumers:
            await self.seen(consumers, await self.store.head())

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def letters(self) -> list[tuple[int, str]]:
        """What is parked: position and cause."""
        return await self.rows("SELECT position, cause FROM dead_letter ORDER BY consumer, position")

    async def no_letters(self) -> None:
        """Wait until nothing is parked any more."""

        async def none_left() -> bool:
            return not await self.letters()

        await until_so(none_left)


async def until(what: Callable[[], bool]) -> None:
    async def so() -> bool:
        return what()

    await until_so(so)


async def until_so(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await what():
            await asyncio.sleep(0.005)


class Notes:
    """A handler that notes each event in a table, with the consumer's checkpoint; `trouble` comes first, as a test wants it."""

    kind = "projection"
    follows = False

    def __init__(self, name: str = "notes", version: int = 1, types: Sequence[str] = ("thing.happened",)) -> None:
        self.name = name
        self.version = version
        self.types = frozenset(types)
        self.poisonous: set[int] = set()
        self.unfit: set[int] = set()
        self.trouble: Callable[[Connection, Sequence[Record]], Awaitable[None]] | None = None
        self.begun: list[int] = []
        self.batches: list[list[int]] = []

    async def begin(self, connection: Connection, position: int) -> None:
        self.begun.append(position)
        await connection.execute("CREATE TABLE IF NOT EXISTS note (position bigint, handler text)")

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        self.batches.append([record.position for record in records])
        for record in records:
            if record.position in self.poisonous:
                raise Poison(record) from ValueError(f"poison at {record.position}")
        if self.trouble is not None:
            await self.trouble(connection, records)
        positions = [record.position for record in records]
        unfit = (
            [Effect("INSERT INTO note SELECT 1 / %s::int, consumer FROM moved", (0,))]
            if self.unfit.intersection(positions)
            else []
        )
        return [
            *unfit,
            Effect("INSERT INTO note SELECT u, m.consumer FROM moved m, unnest(%s::bigint[]) u", (positions,)),
        ]

    async def end(self) -> None:
        """Nothing is under way."""

    async def rebuild(self, connection: Connection, position: int) -> int:
        await connection.execute("DELETE FROM note WHERE handler = %s", (self.name,))
        await connection.execute("INSERT INTO note VALUES (0, %s)", (self.name,))
        return position


async def noted(place: Place, name: str = "notes") -> list[int]:
    """What a handler has noted, in that order."""
    return [position for (position,) in await place.rows("SELECT position FROM note WHERE handler = %s", name)]


@asynccontextmanager
async def opened(url: str, settings: Settings) -> AsyncIterator[Place]:
    store = await PostgresEventStore.open(url, settings)
    try:
        yield Place(url, store, settings)
    finally:
        await store.close()
