"""A whole system in one process, without the relay: commands and events in, queries out, as real projectors keep the rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from events.catalog import CATALOG as EVENTS
from events.envelope import Origin
from events.event import Event
from infra.adapters.event_store import Append, NewEvent, Record, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.adapters.read_store import ReadStore
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed
from infra.engines.projector import Projector
from infra.ids import new_id, new_uuid7
from infra.patterns.decider import Command
from infra.settings import Settings
from infra.telemetry import new_registry
from projections.catalog import CATALOG as PROJECTIONS
from read_side.api import create_application
from read_side.live import Live
from read_side.queries import Queries
from write_side.catalog import CATALOG as DECIDERS


@dataclass
class World:
    """A system in this process: commands in, queries out."""

    bus: CommandBus
    http: httpx.AsyncClient
    store: PostgresEventStore
    position: int = 0

    async def do(self, *commands: Command, tenant: str = "default") -> None:
        for command in commands:
            command_id = new_id()
            answer = await self.bus.execute(command, Origin(tenant, "ada", command_id, command_id, command_id))
            self.position = answer.position

    async def happen(self, stream_id: str, *events: Event, tenant: str = "default") -> None:
        """Record events as they are, whatever decides them."""
        new = [NewEvent(event.type, event.version, EVENTS.encode(event), new_uuid7()) for event in events]
        expected = len(await self.store.load(tenant, stream_id))
        appended = await self.store.append(Append(tenant, (Write(stream_id, expected, new),), datetime.now(UTC)))
        self.position = appended.position

    async def ask(self, path: str, tenant: str = "default", status: int = 200) -> Any:
        """What the query API says once it has seen all that was done."""
        headers = {"foldwork-tenant": tenant, "foldwork-min-position": str(self.position)}
        answer = await self.http.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert int(answer.headers["foldwork-position"]) >= self.position
        return answer.json()


@asynccontextmanager
async def system(database_url: str, settings: Settings, *, projecting: bool = True) -> AsyncIterator[World]:
    store = await PostgresEventStore.open(database_url, settings)
    models = await ReadStore.open(database_url, settings)

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            yield (records := await store.read(after, 500))
            after = records[-1].position if records else after
            await asyncio.sleep(0.01)

    feed = Feed(store, follow, settings)
    consumers = [
        Consumer(Projector(projection, store, EVENTS, settings), store, feed, database_url, settings, models.seen)
        for projection in PROJECTIONS
    ]
    runs = [feed.run(), *(consumer.run() for consumer in consumers)] if projecting else []
    tasks = [asyncio.create_task(run) for run in runs]
    queries = Queries(models, store, settings)
    application = create_application(queries, Live(store, asyncio.Event(), settings), store.head, new_registry())
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
            yield World(CommandBus(store, DECIDERS, EVENTS, settings), http, store)
    finally:
        await end(*tasks)
        await models.close()
        await store.close()
