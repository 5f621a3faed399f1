"""Plays workflows of agents against a running system, as a tenant of their own, and compares what came of their runs."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from infra.adapters.document_text import parse_document
from read_side.demo import content, trips
from read_side.demo.agents import create_agents
from read_side.demo.checks import Check, counted_once, counts_in_words, same
from read_side.demo.client import CommandSender, command
from read_side.demo.content import ARTICLES, CONTENT, CONTENT_AGENTS, CONTENT_DESKS, CONTENT_FILE, check_content
from read_side.demo.desks import Desks
from read_side.demo.pace import Pace
from read_side.demo.people import approve_all
from read_side.demo.play import Target, while_running
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import JsonObject
from read_side.demo.trips import APPROVER, TRAVEL_AGENTS, TRIP, TRIP_FILE, TRIPS, UNDONE, Bookings, check_trips
from read_side.demo.workflow_evidence import WorkflowsSeen


class Workflow(NamedTuple):
    """A definition beside this module, and the input of each of its runs by the run's id."""

    file: str
    workflow_id: str
    runs: Mapping[str, JsonObject]


WORKFLOWS = (Workflow(TRIP_FILE, TRIP, TRIPS), Workflow(CONTENT_FILE, CONTENT, ARTICLES))

PICTURED = frozenset({UNDONE})
"""The runs that are shown as a tree of their tasks."""

RUNS_BAR = "runs of workflows"
TENANT_SUFFIX = "-workflows"
AT_REST = frozenset({"completed", "faulted", "cancelled", "compensated", "parked"})
AGENT_TASKS = trips.AGENT_TASKS + content.AGENT_TASKS
POLL_S = 0.2


class _RunStatus(BaseModel):
    status: str


def target_of_workflows(target: Target) -> Target:
    """The same system, as another tenant: so that the totals of the recorded input stay what they are."""
    return replace(target, tenant=target.tenant + TENANT_SUFFIX)


def definition(file: str) -> object:
    """A workflow, in JSON's types."""
    return parse_document(Path(__file__).with_name(file).read_bytes(), "application/yaml")


async def play_workflows(target: Target, bookings: Bookings, pace: Pace, bars: Bars) -> bool:
    """Have every run come to its end; False if that took longer than `pace.work_s_max`."""
    bars.open(RUNS_BAR, sum(len(workflow.runs) for workflow in WORKFLOWS))
    try:
        async with asyncio.timeout(pace.work_s_max):
            await _play(target, bookings, pace, bars)
    except TimeoutError:
        return False
    return True


async def _play(target: Target, bookings: Bookings, pace: Pace, bars: Bars) -> None:
    async with AsyncExitStack() as open_clients:

        async def sender(actor: str) -> CommandSender:
            return await open_clients.enter_async_context(CommandSender(target.command_url, target.tenant, actor))

        queries = await open_clients.enter_async_context(QueryClient(target.query_url, target.tenant))
        operator, users = await sender("operator"), await sender("users")
        desk_sender, approver = await sender("agent-worker"), await sender(APPROVER)
        await create_agents(operator, (*TRAVEL_AGENTS, *CONTENT_AGENTS))
        await operator.send_accepted(
            *(
                command("RegisterWorkflow", f"{each.workflow_id}-register", definition=definition(each.file))
                for each in WORKFLOWS
            )
        )
        desks = Desks(desk_sender, queries, {**bookings.desks, **CONTENT_DESKS}, pace)
        await while_running(
            _run_all(users, queries, pace, bars),
            desks.work(operator.position),
            approve_all(APPROVER, approver, queries, operator.position),
        )


def _run_all(users: CommandSender, queries: QueryClient, pace: Pace, bars: Bars) -> "asyncio.Future[list[None]]":
    """One run begins after the other; none waits for the end of another."""
    starts = [
        command("StartRun", f"{run_id}-start", run_id=run_id, workflow_id=workflow.workflow_id, input=given)
        for workflow in WORKFLOWS
        for run_id, given in workflow.runs.items()
    ]
    return asyncio.gather(
        *(_run(users, queries, start, number * pace.run_pause_s, bars) for number, start in enumerate(starts))
    )


async def _run(users: CommandSender, queries: QueryClient, start: JsonObject, pause_s: float, bars: Bars) -> None:
    """Start a run after a pause, and wait until nothing more happens to it."""
    await asyncio.sleep(pause_s)
    (started,) = await users.send_accepted(start)
    while (await queries.one(f"/v1/runs/{start['run_id']}", _RunStatus, started.position)).status not in AT_REST:
        await asyncio.sleep(POLL_S)
    bars.advance(RUNS_BAR)


def check_workflows(seen: WorkflowsSeen, bookings: Bookings) -> Iterator[Check]:
    """The runs one by one, then that all of what they did is accounted for."""
    started = {run_id for workflow in WORKFLOWS for run_id in workflow.runs}
    yield same("runs of workflows", len(started), len(seen.runs))
    if started == set(seen.runs):
        yield from check_trips(seen, bookings)
        yield from check_content(seen)
    runs = seen.runs.values()
    begun = [len(list(run.events_of("run.task_started", "run.task_skipped"))) for run in runs]
    yield same("tasks of runs, each once", sum(begun), sum(len({task.task for task in run.tasks}) for run in runs))
    open_tasks = [task for run in runs for task in run.tasks if task.ended_at is None]
    yield same("tasks of runs left open", 0, len(open_tasks))
    endings = Counter(task.status for task in seen.agent_tasks)
    yield same("tasks that runs asked of agents", f"{AGENT_TASKS - 1} completed, 1 failed", counts_in_words(endings))
    yield same("assignments of them, each once", AGENT_TASKS, seen.log.types["task.assigned"])
    versions = ((run.run.run_id, run.run.version) for run in runs)
    yield same("run events, each once", seen.log.count("run"), counted_once("run", versions, seen.log))
    yield same("their stream versions missing or twice", 0, seen.log.version_gaps)
