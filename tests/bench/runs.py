"""Runs in this process: log, command bus, performer and its consumer, fed by NATS; the relay is a process of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from events.catalog import CATALOG as EVENTS
from events.envelope import Origin
from events.run import RunCancelled, RunCompleted, RunFaulted
from infra.adapters.event_store import Appended
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from infra.calls.call import open_resources
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.engines.command_request import Request
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed
from infra.engines.mirror import mirror_source
from infra.engines.performer import Performer
from infra.functions import installed, register
from infra.ids import new_id
from infra.parts import PARTS
from infra.settings import Settings
from infra.supervisor import Supervisor
from sagas.carry_out_calls_on_run_task import CARRY_OUT_CALLS_ON_RUN_TASK
from sagas.performing import Calls, Secrets, call_settings
from write_side.catalog import CATALOG as DECIDERS
from write_side.run_commands import StartRun
from write_side.workflow import RegisterWorkflow

STEPS = ("step_one", "step_two", "step_three", "step_four", "step_five")
NAMESPACE = "bench"
CONFIRMED_S_MAX = 60.0


async def count(number: int) -> dict[str, int]:
    """What every step does, here and in what is beside it."""
    return {"number": number + 1}


def definition(name: str, do: Sequence[JsonValue]) -> dict[str, Any]:
    document = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0"}
    return {"document": document, "do": list(do)}


class Runs:
    """Starts runs and knows when they have ended, on disk. Made by `open_runs`."""

    def __init__(self, store: PostgresEventStore, bus: CommandBus, performer: Performer, consumer: Consumer) -> None:
        self._store = store
        self._bus = bus
        self._performer = performer
        self._consumer = consumer
        self._ended: dict[str, asyncio.Future[str]] = {}
        self.watched: str | None = None
        self.written_at: list[float] = []
        bus.on_written = self._written

    def _written(self, request: Request, appended: Appended) -> None:
        """Called once an append is on disk: the performer goes on from there, and so do those who wait for the run's end."""
        self._performer.written(request, appended)
        stream_id = request.looked_at[0].stream_id
        if stream_id == self.watched:
            self.written_at.append(time.perf_counter())
        for event in request.looked_at[0].events:
            if isinstance(event, RunCompleted | RunFaulted | RunCancelled) and stream_id in self._ended:
                self._ended.pop(stream_id).set_result(event.type)

    @staticmethod
    def _origin() -> Origin:
        command_id = new_id()
        return Origin("bench", "bench", command_id, command_id, command_id)

    async def register(self, document: dict[str, Any]) -> None:
        await self._bus.execute(RegisterWorkflow(definition=document), self._origin())

    async def run(self, name: str, given: JsonValue, *, watch: bool = False) -> None:
        """One run from its start to its end on disk; with `watch`, when each of its appends was there is in `written_at`."""
        run_id = new_id()
        stream_id = f"run-{run_id}"
        if watch:
            self.watched, self.written_at = stream_id, []
        ended = self._ended[stream_id] = asyncio.get_running_loop().create_future()
        start = StartRun(run_id=run_id, workflow_id=f"{NAMESPACE}.{name}", input=given)
        await self._bus.execute(start, self._origin())
        how = await ended
        if how != RunCompleted.type:
            raise RuntimeError(f"a run of {name} ended with {how}")

    async def confirmed(self) -> float:
        """Wait until the performer has seen everything in the log and its checkpoint is there; gives the seconds it took."""
        head, begun = await self._store.head(), time.perf_counter()
        async with asyncio.timeout(CONFIRMED_S_MAX):
            while self._consumer.position < head:
                await asyncio.sleep(0.001)
        return time.perf_counter() - begun


def _announce(name: str, position: int) -> None:
    """No query waits here."""


@asynccontextmanager
async def open_runs(database_url: str, nats_url: str, folder: Path) -> AsyncIterator[Runs]:
    """Runs on an empty database and an empty mirror, with the five steps registered."""
    given = Settings(database_url=database_url, nats_url=nats_url, data_dir=folder)
    relay = [part for part in PARTS if part.name == "relay"]
    mirror = await NatsEventStream.connect(nats_url, given, "bench")
    await mirror.recreate(1)
    for step in STEPS:
        register(step, count)
    async with (
        Supervisor(given, ports="auto", parts=relay) as system,
        open_resources(call_settings(system.settings)) as resources,
    ):
        settings = system.settings
        store = await PostgresEventStore.open(database_url, settings)
        store.on_append = lambda *_: mirror.wake()
        feed = Feed(store, mirror_source(mirror, "bench-runs"), settings)
        bus = CommandBus(store, DECIDERS, EVENTS, settings)
        calls = Calls(bus, resources, Secrets(None), installed())
        performer = Performer(CARRY_OUT_CALLS_ON_RUN_TASK, calls.perform, store, bus, EVENTS, settings)
        consumer = Consumer(performer, store, feed, database_url, settings, _announce)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(feed.run()), asyncio.create_task(consumer.run())]
        try:
            while not (consumer.active and feed.running):
                await asyncio.sleep(0.01)
            yield Runs(store, bus, performer, consumer)
        finally:
            await end(*tasks)
            await store.close()
            await mirror.close()
