"""Answers that are made of two read models, or of one that lost what it had announced, claim nothing that they do not show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from events.run import RunCompleted, RunRetried, RunTaskCompleted
from infra.adapters.checkpoints import Operations
from infra.adapters.read_store import ReadStore
from infra.settings import Settings
from infra.telemetry import new_registry
from read_side.api import create_application
from read_side.live import Live
from read_side.queries import Queries
from tests.read_side.event_log import Log
from tests.read_side.test_runs_api import started, statuses, task
from tests.read_side.world import World, system

pytestmark = pytest.mark.waits

POLL_S = 0.05
MODELS = ("run_directory", "run_tasks", "agent_directory")


@pytest.fixture
async def world(database_url: str, settings: Settings) -> AsyncIterator[World]:
    async with system(database_url, settings.model_copy(update={"consumer_control_poll_s": POLL_S})) as world:
        yield world


async def paused(database_url: str, model: str) -> None:
    """A read model that takes nothing any more."""
    await Operations(database_url).set_paused(model, True)
    await asyncio.sleep(6 * POLL_S)


@asynccontextmanager
async def asking(queries: Queries) -> AsyncIterator[httpx.AsyncClient]:
    """A query API that hears nothing of read models but what it asks for."""
    live = Live(queries.log, asyncio.Event(), queries.settings)
    application = create_application(queries, live, queries.log.head, new_registry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        yield http


async def shown(world: World) -> list[str]:
    """The tasks' statuses now, however far the read models have come."""
    return [row["status"] for row in (await world.http.get("/v1/runs/r1/tasks")).json()["data"]]


@pytest.mark.servers
class TestTheTasksOfARun:
    async def test_are_not_called_interrupted_by_a_model_that_has_not_seen_their_end(
        self, world: World, database_url: str
    ) -> None:
        await world.happen("run-r1", started(), task(1))
        assert await statuses(world, "r1") == ["running"]
        await paused(database_url, "run_tasks")
        await world.happen("run-r1", RunTaskCompleted(task=1), RunCompleted())
        while (await world.http.get("/v1/runs/r1")).json()["status"] != "completed":
            await asyncio.sleep(0.01)
        assert await shown(world) == ["running"]
        await Operations(database_url).set_paused("run_tasks", False)
        assert await statuses(world, "r1") == ["completed"]

    async def test_are_not_called_interrupted_by_an_end_that_was_taken_back(
        self, world: World, database_url: str
    ) -> None:
        await world.happen("run-r1", started(), task(1), RunCompleted())
        assert await statuses(world, "r1") == ["interrupted"]
        await paused(database_url, "run_directory")
        await world.happen("run-r1", RunRetried(), task(2))
        while len(await shown(world)) < 2:
            await asyncio.sleep(0.01)
        assert await shown(world) == ["interrupted", "running"]


@pytest.mark.servers
class TestHowFarModelsAre:
    async def test_is_known_without_news_of_them(self, world: World, database_url: str, settings: Settings) -> None:
        models = await ReadStore.open(database_url, settings)
        async with asking(Queries(models, world.store, settings)) as http:
            for number in (1, 2):
                await world.happen(f"run-r{number}", started(), task(1))
                async with asyncio.timeout(5):
                    while [each for each in (await http.get("/v1/projections")).json()["data"] if each["lag"]]:
                        await asyncio.sleep(0.02)
        await models.close()


class Forgetful:
    """A pool whose server crashes at the first question, and has lost then what it had not brought to the disk."""

    def __init__(self) -> None:
        self.crashed = False
        self._rows: list[tuple[Any, ...]] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Forgetful"]:
        yield self

    async def execute(self, query: bytes, parameters: Any) -> "Forgetful":
        if not self.crashed:
            self.crashed = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        self._rows = [(name, 3) for name in MODELS] if b"checkpoint" in query else []
        return self

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


class TestAPositionThatACrashTookBack:
    @pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/r1", "/v1/runs/r1/tasks", "/v1/summaries/agents"])
    async def test_is_not_claimed_by_an_answer(self, settings: Settings, path: str) -> None:
        log = Log()
        for _ in range(5):
            await log.write("agent.created")
        settings = settings.model_copy(update={"wait_for_position_s_max": 0.1})
        models = ReadStore(settings, Forgetful())  # type: ignore[arg-type]  # all that is used of a pool
        for name in MODELS:
            models.seen(name, 5)
        async with asking(Queries(models, log, settings)) as http:
            answer = await http.get(path, headers={"foldwork-min-position": "5"})
        assert answer.status_code == 504, answer.text
