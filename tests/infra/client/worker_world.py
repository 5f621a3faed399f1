"""A system for workers in the test's own process: the log, commands over NATS, and the consumers that assign and offer tasks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import orjson
from nats.aio.client import Client as Nats

from events.catalog import CATALOG as EVENTS
from foldwork import Task, Worker
from foldwork.command_channel import CommandChannel
from infra.adapters.event_store import Record
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.nats_work import NatsWorkQueue
from infra.adapters.web_metrics import WebMetrics
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.engines.saga_runner import SagaRunner
from infra.engines.work_offers import WorkOffers
from infra.settings import Settings
from infra.telemetry import new_registry
from sagas.assign_tasks_on_request import ASSIGN_TASKS_ON_REQUEST
from sagas.offer_tasks_on_assignment import OFFER_TASKS_ON_ASSIGNMENT
from tests.infra.consuming import Place, opened
from tests.write_side.api_client import Heard
from write_side.api import CommandEdge
from write_side.catalog import CATALOG
from write_side.commands_over_nats import CommandsOverNats

WAIT_S_MAX = 30.0
TENANT = "acme"


class World:
    """`request` tasks and see what becomes of them."""

    def __init__(self, place: Place, url: str, client: Nats) -> None:
        self.place, self.url, self.nats = place, url, client
        self.commands = CommandChannel(client, TENANT, "user:test")
        self._processes: list[asyncio.subprocess.Process] = []

    def worker(self, agent: str = "summariser", **options: Any) -> Worker:
        given = {"tenant": TENANT, "capabilities": ["summarise"], "ack_wait_s": 1.0, **options}
        return Worker(self.url, agent=agent, **given)

    async def request(self, task_id: str, **fields: Any) -> None:
        asked = {"task_id": task_id, "title": "Sum up", "capability": "summarise", **fields}
        await self.commands.send("RequestTask", asked)

    async def history(self, task_id: str) -> list[Record]:
        return await self.place.store.load(TENANT, f"task-{task_id}")

    async def types(self, task_id: str) -> list[str]:
        return [record.type.removeprefix("task.") for record in await self.history(task_id)]

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Wait for the end of a task; gives the data of its last event."""
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                records = await self.history(task_id)
                if records and records[-1].type in ("task.completed", "task.failed", "task.cancelled"):
                    data = records[-1].data
                    found: dict[str, Any] = orjson.loads(data) if isinstance(data, bytes) else data
                    return found
                await asyncio.sleep(0.01)

    async def queue_empties(self) -> None:
        """Wait until every offer is acknowledged or taken back."""
        async with asyncio.timeout(WAIT_S_MAX):
            while (await self.nats.jetstream().stream_info("WORK_0")).state.messages:
                await asyncio.sleep(0.01)

    async def process(self, program: str) -> asyncio.subprocess.Process:
        """A worker in a process of its own, which ends with the test; `program` is the body of its handler's module."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, self.url, cwd=Path(__file__).parent, stdout=asyncio.subprocess.PIPE
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def world(database_url: str, nats_url: str, settings: Settings) -> AsyncIterator[World]:
    stream = await NatsEventStream.connect(nats_url, settings)
    client = await nats.connect(nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    async with opened(database_url, settings) as place:
        bus = CommandBus(place.store, CATALOG, EVENTS, settings)
        edge = CommandEdge(bus, CATALOG, Heard(), settings, WebMetrics(new_registry()))
        offers = WorkOffers(OFFER_TASKS_ON_ASSIGNMENT, place.store, NatsWorkQueue(stream, settings), EVENTS, settings)
        assigning = SagaRunner(ASSIGN_TASKS_ON_REQUEST, place.store, bus, EVENTS, settings)
        tasks = [
            asyncio.create_task(CommandsOverNats(edge, nats_url, settings).run()),
            asyncio.create_task(offers.watch()),
        ]
        async with place.running(assigning, offers):
            running = World(place, nats_url, client)
            try:
                yield running
            finally:
                running.close()
                await running.commands.close()
                await client.close()
                await end(*tasks)
    await stream.close()


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    """Run workers until the end of the block; one that breaks down raises there."""
    serving = [asyncio.create_task(worker.serve()) for worker in workers]
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            while not all(worker.agent_id for worker in workers):
                for each in serving:
                    if each.done():
                        each.result()
                await asyncio.sleep(0.01)
        yield
    finally:
        await end(*serving)


def summarise(worker: Worker) -> None:
    """A handler for those who do not care what it does."""

    @worker.task
    async def handle(task: Task) -> dict[str, Any]:
        return {"length": len(task.input["text"])}
