"""The tasks of runs: each with its place in the run, what it waits for, what came of it, and whether it was undone."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, JsonValue

from events.envelope import Envelope
from events.run import (
    RunErrorCaught,
    RunEventConsumed,
    RunIterationStarted,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
    RunTaskStarted,
)
from events.run_compensation import (
    RunCompensationFailed,
    RunCompensationSkipped,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import (
    AgentTaskAwaited,
    ApprovalAwaited,
    Awaited,
    CallAwaited,
    DocumentsAwaited,
    EventsAwaited,
    JobAwaited,
    ProcessAwaited,
    RunAwaited,
    RunError,
    TimerAwaited,
    UndoingAwaited,
)
from infra.patterns.projection import Key, Projection, Row

RunTaskStatus = Literal[
    "running",
    "waiting",
    "interrupted",
    "completed",
    "faulted",
    "cancelled",
    "skipped",
    "compensating",
    "compensated",
    "stuck",
    "compensation_skipped",
]
"""`interrupted` is never stored: it is how a task is shown that was open when its run ended."""

AwaitedKind = Literal[
    "call", "process", "documents", "timer", "events", "run", "undoing", "agent_task", "job", "approval"
]

Undoing = RunTaskCompensating | RunTaskCompensated | RunCompensationSkipped | RunParked
TaskEvent = (
    RunTaskStarted
    | RunTaskSkipped
    | RunTaskPrepared
    | RunTaskAnswered
    | RunTaskCompleted
    | RunTaskFaulted
    | RunTaskCancelled
    | RunErrorCaught
    | RunTaskRetried
    | RunIterationStarted
    | RunEventConsumed
    | RunCompensationFailed
    | Undoing
)


class AwaitedByTask(BaseModel):
    """What a task waits for, or waited for: `id` of a run, also one to undo, an agent's task, a job or an approval, `function` of a call.

    `types` are those of events that it listens for, none if it listens for any; `addresses` those of documents that it fetches.
    """

    model_config = ConfigDict(frozen=True)

    kind: AwaitedKind
    id: str | None = None
    function: str | None = None
    until: datetime | None = None
    types: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


class RunTaskRow(Row):
    """A task of a run as it is now; `parent` is the task that it is part of, 0 the run itself.

    `attempts`, `errors_caught` and `last_error_caught` are those of a `try`; `rounds` and `items` those of a loop: how many have begun, and
    of how many if that is known, or how many branches a fork has; `events_consumed` those of a task that listens. `compensated_by` is the
    task that undoes this one, or did last, and `compensation_error` why it cannot be undone. `next_retry_at` is when a `try` tries again;
    in the row of a task that failed to undo another it is when that is tried again.
    """

    tenant_id: str
    run_id: str
    task: int
    parent: int
    reference: str
    name: str
    kind: str | None = None
    status: RunTaskStatus
    input: JsonValue = None
    output: JsonValue = None
    error: RunError | None = None
    awaits: AwaitedByTask | None = None
    attempts: int = 1
    errors_caught: int = 0
    last_error_caught: RunError | None = None
    rounds: int = 0
    items: int | None = None
    events_consumed: int = 0
    started_at: datetime | None = None
    times_out_at: datetime | None = None
    ended_at: datetime | None = None
    next_retry_at: datetime | None = None
    compensated_by: int | None = None
    compensation_attempts: int = 0
    compensation_error: RunError | None = None
    compensation_ended_at: datetime | None = None
    position: int
    started_position: int


def locate(envelope: Envelope[TaskEvent]) -> Key:
    """Where a task is undone, the row that changes is that of the task; that the undoing failed is told by the task that undoes it."""
    event = envelope.event
    return envelope.tenant_id, envelope.entity_id, event.of if isinstance(event, Undoing) else event.task


def project(envelope: Envelope[TaskEvent], row: RunTaskRow | None) -> RunTaskRow | None:
    event = envelope.event
    if isinstance(event, RunTaskStarted | RunTaskSkipped):
        return _begun(envelope, event)
    if row is None:
        return row
    changes = _undone(event, envelope.occurred_at) if isinstance(event, Undoing) else _changes(event, envelope, row)
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _begun(envelope: Envelope[TaskEvent], event: RunTaskStarted | RunTaskSkipped) -> RunTaskRow:
    row = RunTaskRow(
        tenant_id=envelope.tenant_id,
        run_id=envelope.entity_id,
        task=event.task,
        parent=event.parent,
        reference=event.reference,
        name=event.name,
        status="running",
        position=envelope.position,
        started_position=envelope.position,
    )
    if isinstance(event, RunTaskSkipped):
        return row.model_copy(update={"status": "skipped", "ended_at": envelope.occurred_at})
    started: dict[str, object] = {
        "kind": event.kind,
        "input": event.input,
        "started_at": event.started_at,
        "times_out_at": event.times_out_at,
        **_prepared(event),
    }
    return row.model_copy(update=started)


def _prepared(event: RunTaskStarted | RunTaskPrepared) -> dict[str, object]:
    """What a task goes through and waits for, once what an extension does before it is done."""
    items = None if event.items is None else len(event.items)
    if event.awaits is None:
        return {"items": items}
    return {"items": items, "status": "waiting", "awaits": _awaited(event.awaits)}


def _awaited(awaited: Awaited) -> AwaitedByTask:
    kind = awaited.kind
    match awaited:
        case CallAwaited(function=function):
            return AwaitedByTask(kind=kind, function=function)
        case DocumentsAwaited(addresses=addresses):
            return AwaitedByTask(kind=kind, addresses=addresses)
        case TimerAwaited(until=until):
            return AwaitedByTask(kind=kind, until=until)
        case EventsAwaited(types=types):
            return AwaitedByTask(kind=kind, types=types)
        case RunAwaited(run_id=found) | UndoingAwaited(run_id=found) | AgentTaskAwaited(task_id=found):
            return AwaitedByTask(kind=kind, id=found)
        case JobAwaited(job_id=found) | ApprovalAwaited(approval_id=found):
            return AwaitedByTask(kind=kind, id=found)
        case ProcessAwaited():
            pass
    return AwaitedByTask(kind=kind)


def _changes(event: TaskEvent, envelope: Envelope[TaskEvent], row: RunTaskRow) -> dict[str, object]:
    at = envelope.occurred_at
    match event:
        case RunTaskPrepared():
            return _prepared(event)
        case RunTaskAnswered():
            return {"status": "running"}
        case RunTaskCompleted(output=output):
            return {"status": "completed", "ended_at": at, "output": output, "next_retry_at": None}
        case RunTaskFaulted(error=error):
            return {"status": "faulted", "ended_at": at, "error": error, "next_retry_at": None}
        case RunTaskCancelled():
            return {"status": "cancelled", "ended_at": at, "next_retry_at": None}
        case RunErrorCaught(error=error, retry_at=retry_at):
            caught = row.errors_caught + 1
            return {"errors_caught": caught, "last_error_caught": error, "next_retry_at": retry_at}
        case RunTaskRetried():
            return {"attempts": row.attempts + 1, "next_retry_at": None}
        case RunIterationStarted():
            return {"rounds": row.rounds + 1}
        case RunEventConsumed(closing=closing):
            return {"events_consumed": row.events_consumed + (not closing)}
        case RunCompensationFailed(error=error, retry_at=retry_at):
            return {"status": "faulted", "ended_at": at, "error": error, "next_retry_at": retry_at}
        case _:
            pass
    return {}


def _undone(event: Undoing, at: datetime) -> dict[str, object]:
    match event:
        case RunTaskCompensating(task=task, attempt=attempt):
            began = {"compensated_by": task, "compensation_attempts": attempt, "compensation_error": None}
            return {"status": "compensating", **began}
        case RunTaskCompensated():
            return {"status": "compensated", "compensation_ended_at": at}
        case RunParked(error=error):
            return {"status": "stuck", "compensation_error": error}
        case RunCompensationSkipped():
            return {"status": "compensation_skipped", "compensation_ended_at": at}
        case _:
            pass
    return {}


RUN_TASKS = Projection(
    name="run_tasks",
    version=1,
    row=RunTaskRow,
    key=("tenant_id", "run_id", "task"),
    handles=get_args(TaskEvent),
    locate=locate,
    project=project,
)
