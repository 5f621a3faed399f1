"""What the query API says about the runs of workflows once they have ended, with the tenant's log up to the same position."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue
from rich.console import RenderableType

from projections.run_directory import RunRow
from projections.run_tasks import RunTaskRow
from read_side.cli.run_tree import picture_of
from read_side.demo.client import UnexpectedAnswer
from read_side.demo.evidence import QUIET_ROUNDS_MAX, TaskSeen
from read_side.demo.log_audit import LogAudit
from read_side.demo.people import ApprovalSeen
from read_side.demo.queries import QueryClient, WireEvent


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A run, its tasks in the order in which they began, and what happened to it."""

    run: RunRow
    tasks: Sequence[RunTaskRow]
    events: Sequence[WireEvent]

    def events_of(self, *event_types: str) -> Iterator[WireEvent]:
        return (event for event in self.events if event.type in event_types)

    def picture(self) -> RenderableType:
        """As `foldwork runs show` draws it."""
        return picture_of(self.run, self.tasks, datetime.now(UTC))

    @staticmethod
    def task_of(event: WireEvent, field: str = "task") -> int:
        """The number of the task that an event names."""
        number: JsonValue = event.data[field]
        if not isinstance(number, int):
            raise UnexpectedAnswer(f"{event.type} at {event.position} has the task {number!r}")
        return number


@dataclass(frozen=True, slots=True)
class WorkflowsSeen:
    """All runs of a tenant by their ids, and what they asked of agents and of people."""

    log: LogAudit
    runs: dict[str, RunSeen]
    agent_tasks: list[TaskSeen]
    approvals: list[ApprovalSeen]


async def gather_workflows(queries: QueryClient) -> WorkflowsSeen:
    """Read everything; again if the log moved on meanwhile."""
    log = LogAudit()
    events: list[WireEvent] = []
    await _read_on(queries, log, events)
    for _ in range(QUIET_ROUNDS_MAX):
        head = log.head
        seen = await _read_models(queries, log, events)
        await _read_on(queries, log, events)
        if log.head == head:
            break
    return seen


async def _read_on(queries: QueryClient, log: LogAudit, events: list[WireEvent]) -> None:
    async for event in queries.events(log.head):
        log.see(event)
        events.append(event)


async def _read_models(queries: QueryClient, log: LogAudit, events: Sequence[WireEvent]) -> WorkflowsSeen:
    runs: dict[str, RunSeen] = {}
    for run in await queries.rows("/v1/runs", RunRow, log.head):
        tasks = await queries.rows(f"/v1/runs/{run.run_id}/tasks", RunTaskRow, log.head)
        runs[run.run_id] = RunSeen(run, tasks, [event for event in events if event.subject == f"run-{run.run_id}"])
    return WorkflowsSeen(
        log=log,
        runs=runs,
        agent_tasks=await queries.rows("/v1/tasks", TaskSeen, log.head),
        approvals=await queries.rows("/v1/approvals", ApprovalSeen, log.head),
    )
