"""Runs and their tasks over HTTP, as real projectors keep them in a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from events.event import Event
from events.run import (
    RunCompleted,
    RunFaulted,
    RunRetried,
    RunStarted,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskStarted,
)
from events.run_compensation import RunCompensationStarted, RunTaskCompensating
from events.run_parts import JobAwaited, ParentTask, RunError
from infra.settings import Settings
from tests.read_side.world import World, system
from write_side.run_commands import AdvanceRun, StartRun
from write_side.workflow import ActivateWorkflow, RegisterWorkflow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NO_CAR = RunError(type="https://example.com/no-car", status=409, title="No car")


@pytest.fixture
async def world(database_url: str, settings: Settings) -> AsyncIterator[World]:
    async with system(database_url, settings) as world:
        yield world


def started(workflow_id: str = "travel.book", **fields: Any) -> RunStarted:
    digest = "sha256:" + "0" * 64
    return RunStarted(workflow_id=workflow_id, workflow_version="1.0.0", digest=digest, started_at=NOON, **fields)


def task(number: int, parent: int = 0, kind: str = "call", **fields: Any) -> RunTaskStarted:
    name = f"step{number}"
    return RunTaskStarted(
        task=number, parent=parent, reference=f"/do/{name}", name=name, kind=kind, started_at=NOON, **fields
    )


async def run_ids(world: World, query: str, tenant: str = "default") -> list[str]:
    return [row["run_id"] for row in (await world.ask(f"/v1/runs?{query}", tenant=tenant))["data"]]


async def statuses(world: World, run_id: str) -> list[str]:
    return [row["status"] for row in (await world.ask(f"/v1/runs/{run_id}/tasks"))["data"]]


class TestARun:
    async def test_is_what_the_events_led_to(self, world: World) -> None:
        await world.happen("run-r1", started(input={"to": "Oslo"}), task(1), RunTaskCompleted(task=1, output=[1]))
        await world.happen("run-r1", RunCompleted(output=[1]))
        found = await world.ask("/v1/runs/r1")
        expected = {"workflow_id": "travel.book", "status": "completed", "output": [1], "version": 4}
        assert found.items() >= {**expected, "input": {"to": "Oslo"}, "tasks_completed": 1}.items()

    async def test_of_another_tenant_is_not_found(self, world: World) -> None:
        await world.happen("run-r1", started())
        for path in ("/v1/runs/r1", "/v1/runs/r1/tasks"):
            found = await world.ask(path, tenant="other", status=404)
            assert found["type"].endswith("/run-unknown")


class TestTheListOfRuns:
    async def test_begins_with_the_newest_and_can_be_read_page_by_page(self, world: World) -> None:
        for run_id in ("b", "a", "d", "c", "e"):
            await world.happen(f"run-{run_id}", started())
        await world.happen("run-f", started(), tenant="other")
        await world.happen("run-b", RunCompleted())
        found: list[str] = []
        path = "/v1/runs?limit=2"
        for _ in range(3):
            page = await world.ask(path)
            found.extend(row["run_id"] for row in page["data"])
            path = f"/v1/runs?limit=2&cursor={page['next_cursor']}"
        assert (found, page["next_cursor"]) == (["e", "c", "d", "a", "b"], None)
        assert await run_ids(world, "", tenant="other") == ["f"]

    async def test_can_be_filtered(self, world: World) -> None:
        await world.happen("run-r1", started(labels={"team": "north:east", "size": 3}), RunCompleted())
        await world.happen("run-r2", started("travel.cancel", parent=ParentTask(run_id="r1", task=4)))
        await world.happen("run-r3", started(labels={"team": "south", "urgent": True}))
        for query, expected in (
            ("status=running", ["r3", "r2"]),
            ("workflow_id=travel.book", ["r3", "r1"]),
            ("parent_run_id=r1", ["r2"]),
            ("label=team:south", ["r3"]),
            ("label=team:north:east", ["r1"]),
            ("label=size:3", ["r1"]),
            ("label=urgent:true&status=running", ["r3"]),
            ("label=urgent:true&status=completed", []),
            ("label=size:", []),
        ):
            assert await run_ids(world, query) == expected, query

    async def test_takes_a_cursor_only_with_the_label_it_was_given_for(self, world: World) -> None:
        for run_id in ("a", "b", "c"):
            await world.happen(f"run-{run_id}", started(labels={"team": "south"}))
        cursor = (await world.ask("/v1/runs?limit=1&label=team:south"))["next_cursor"]
        assert await run_ids(world, f"label=team:south&cursor={cursor}") == ["b", "a"]
        await world.ask(f"/v1/runs?label=team:north&cursor={cursor}", status=404)

    @pytest.mark.parametrize("query", ["label=team", "label=:x", "status=odd", "name=x"])
    async def test_is_refused_for_a_query_that_is_not_as_documented(self, world: World, query: str) -> None:
        assert (await world.http.get(f"/v1/runs?{query}")).status_code == 422


class TestTheTasksOfARun:
    async def test_come_in_the_order_in_which_they_began(self, world: World) -> None:
        await world.happen("run-r1", started(), *(task(number) for number in range(1, 13)))
        page = await world.ask("/v1/runs/r1/tasks?limit=10")
        rest = await world.ask(f"/v1/runs/r1/tasks?limit=10&cursor={page['next_cursor']}")
        assert [row["task"] for row in page["data"] + rest["data"]] == list(range(1, 13))
        assert rest["next_cursor"] is None

    async def test_say_what_they_wait_for(self, world: World) -> None:
        await world.happen("run-r1", started(), task(1, awaits=JobAwaited(job_id="j1")))
        (row,) = (await world.ask("/v1/runs/r1/tasks"))["data"]
        assert (row["status"], row["awaits"]["kind"], row["awaits"]["id"]) == ("waiting", "job", "j1")

    async def test_may_be_none_yet(self, world: World) -> None:
        await world.happen("run-r1", started())
        assert await world.ask("/v1/runs/r1/tasks") == {"data": [], "next_cursor": None}
        await world.ask("/v1/runs/r2/tasks", status=404)

    async def test_are_interrupted_if_they_were_open_when_the_run_failed_until_it_is_retried(
        self, world: World
    ) -> None:
        failing: list[Event] = [task(1, kind="do"), task(2, 1), RunTaskFaulted(task=2, error=NO_CAR)]
        await world.happen("run-r1", started(), *failing, task(3, 1, awaits=JobAwaited(job_id="j1")))
        assert await statuses(world, "r1") == ["running", "faulted", "waiting"]
        await world.happen("run-r1", RunFaulted(error=NO_CAR))
        assert await statuses(world, "r1") == ["interrupted", "faulted", "interrupted"]
        await world.happen("run-r1", RunRetried())
        assert await statuses(world, "r1") == ["running", "faulted", "waiting"]

    async def test_that_undo_others_run_while_those_left_open_are_interrupted(self, world: World) -> None:
        await world.happen("run-r1", started(), task(1, kind="do"), task(2, 1), RunTaskCompleted(task=2))
        undoing = RunTaskCompensating(task=3, of=2, started_at=NOON)
        await world.happen("run-r1", RunCompensationStarted(error=NO_CAR), undoing, task(3, kind="compensate"))
        assert await statuses(world, "r1") == ["interrupted", "compensating", "running"]


class TestTheSummaryOfRuns:
    async def test_counts_them_and_their_tasks(self, world: World) -> None:
        await world.happen("run-r1", started(), task(1), RunTaskCompleted(task=1), RunCompleted())
        await world.happen("run-r2", started(), task(1), RunTaskFaulted(task=1, error=NO_CAR))
        await world.happen("run-r3", started(), tenant="other")
        assert await world.ask("/v1/summaries/runs") == {
            "by_status": {"completed": 1, "running": 1},
            "tasks_started": 2,
            "tasks_completed": 1,
            "tasks_faulted": 1,
        }


class TestARunOfAWorkflow:
    """As the interpreter decides it."""

    async def test_is_shown_task_by_task_while_it_undoes_what_it_did(self, world: World) -> None:
        undo = {"metadata": {"compensate": [{"giveBack": {"set": {"room": 0}}}]}}
        lost = {"raise": {"error": {"type": "https://example.com/no-car", "status": 409, "title": "No car"}}}
        document = {"dsl": "1.0.3", "namespace": "travel", "name": "book", "version": "1.0.0"}
        steps = [{"bookHotel": {"set": {"room": 7}, **undo}}, {"skipped": {"if": "${ false }", "set": {"a": 1}}}]
        await world.do(RegisterWorkflow(definition={"document": document, "do": [*steps, {"bookCar": lost}]}))
        await world.do(ActivateWorkflow(workflow_id="travel.book", workflow_version="1.0.0"))
        await world.do(StartRun(run_id="r1", workflow_id="travel.book", at=NOON), AdvanceRun(run_id="r1", at=NOON))
        run = await world.ask("/v1/runs/r1")
        assert (run["status"], run["error"]["title"], run["tasks_faulted"]) == ("compensated", "No car", 1)
        tasks = (await world.ask("/v1/runs/r1/tasks"))["data"]
        assert [(row["name"], row["status"]) for row in tasks] == [
            ("bookHotel", "compensated"),
            ("skipped", "skipped"),
            ("bookCar", "faulted"),
            ("bookHotel", "completed"),
            ("giveBack", "completed"),
        ]
        assert (tasks[0]["output"], tasks[0]["compensated_by"], tasks[4]["parent"]) == ({"room": 7}, 4, 4)
