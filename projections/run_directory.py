"""The run directory: every run with its workflow, where it stands, what it was given and what came of it."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import JsonValue

from events.envelope import Envelope
from events.run import (
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunEvent,
    RunFaulted,
    RunForked,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskStarted,
)
from events.run_compensation import (
    RunCompensated,
    RunCompensationSkipped,
    RunCompensationStarted,
    RunFailing,
    RunParked,
    RunTaskCompensating,
)
from events.run_parts import RunError
from infra.patterns.projection import Key, Projection, Row

RunStatus = Literal[
    "running",
    "suspended",
    "failing",
    "cancelling",
    "compensating",
    "parked",
    "completed",
    "faulted",
    "cancelled",
    "compensated",
]


class RunRow(Row):
    """A run as it is now; `error` is why it failed, also while it undoes what it did and when that is done.

    The counts are of tasks that began and ended, those that undo others among them. `stuck_task` could not be undone and waits for an
    operator. A forked run shows no input: it has that of the run that it was forked from.
    """

    tenant_id: str
    run_id: str
    workflow_id: str
    workflow_version: str
    digest: str
    status: RunStatus
    input: JsonValue = None
    output: JsonValue = None
    error: RunError | None = None
    reason: str | None = None
    labels: dict[str, JsonValue]
    parent_run_id: str | None = None
    parent_task: int | None = None
    forked_from_run_id: str | None = None
    forked_from_task: int | None = None
    tasks_started: int = 0
    tasks_completed: int = 0
    tasks_faulted: int = 0
    stuck_task: int | None = None
    started_at: datetime
    times_out_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    compensation_started_at: datetime | None = None
    ended_at: datetime | None = None
    version: int
    position: int
    started_position: int
    compensation_position: int | None = None


def locate(envelope: Envelope[RunEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[RunEvent], row: RunRow | None) -> RunRow | None:
    event = envelope.event
    if isinstance(event, RunStarted | RunForked):
        return _begun(envelope, event)
    if row is None:
        return row
    changes = _counted(event, row) or _changes(envelope, row)
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _begun(envelope: Envelope[RunEvent], event: RunStarted | RunForked) -> RunRow:
    row = RunRow(
        tenant_id=envelope.tenant_id,
        run_id=envelope.entity_id,
        workflow_id=event.workflow_id,
        workflow_version=event.workflow_version,
        digest=event.digest,
        status="running",
        labels=event.labels,
        started_at=event.started_at,
        version=envelope.stream_version,
        position=envelope.position,
        started_position=envelope.position,
    )
    origin: dict[str, object]
    if isinstance(event, RunForked):
        origin = {"forked_from_run_id": event.forked_from.run_id, "forked_from_task": event.forked_from.task}
    else:
        origin = {"input": event.input, "times_out_at": event.times_out_at}
        if event.parent is not None:
            origin.update(parent_run_id=event.parent.run_id, parent_task=event.parent.task)
    return row.model_copy(update=origin)


def _counted(event: RunEvent, row: RunRow) -> dict[str, object]:
    match event:
        case RunTaskStarted():
            return {"tasks_started": row.tasks_started + 1}
        case RunTaskCompleted():
            return {"tasks_completed": row.tasks_completed + 1}
        case RunTaskFaulted(task=task) if task:
            return {"tasks_faulted": row.tasks_faulted + 1}
        case _:
            pass
    return {}


def _changes(envelope: Envelope[RunEvent], row: RunRow) -> dict[str, object]:
    at = envelope.occurred_at
    match envelope.event:
        case RunSuspended(reason=reason):
            return {"status": "suspended", "reason": reason}
        case RunResumed():
            return {"status": _resumed(row), "reason": None}
        case RunCancelRequested(reason=reason):
            return {"status": "cancelling", "cancel_requested_at": at, "reason": reason, "ended_at": None}
        case RunFailing(error=error):
            return {"status": "failing", "error": error}
        case RunCompensationStarted(error=error):
            began = {"compensation_started_at": at, "compensation_position": envelope.position}
            return {"status": "compensating", "error": error, **began, "ended_at": None}
        case RunTaskCompensating() | RunCompensationSkipped():
            return _goes_on_undoing(row)
        case RunParked(of=of):
            return {"status": "parked", "stuck_task": of}
        case RunCompleted(output=output):
            return {"status": "completed", "ended_at": at, "output": output}
        case RunFaulted(error=error):
            return {"status": "faulted", "ended_at": at, "error": error}
        case RunCancelled(reason=reason):
            return {"status": "cancelled", "ended_at": at, "reason": reason or row.reason, "stuck_task": None}
        case RunCompensated(error=error):
            return {"status": "compensated", "ended_at": at, "error": error, "stuck_task": None}
        case RunRetried():
            return {"status": "running", **_FRESH} if row.stuck_task is None else _goes_on_undoing(row)
        case _:
            pass
    return {}


def _resumed(row: RunRow) -> RunStatus:
    """A run that was paused goes on with what it was at."""
    if row.compensation_started_at is not None:
        return "compensating" if row.stuck_task is None else "parked"
    if row.cancel_requested_at is not None:
        return "cancelling"
    return "running" if row.error is None else "failing"


def _goes_on_undoing(row: RunRow) -> dict[str, object]:
    """Once it is resumed, if it is paused."""
    return {"status": "suspended" if row.status == "suspended" else "compensating", "stuck_task": None}


_FRESH: dict[str, object] = {
    "error": None,
    "reason": None,
    "stuck_task": None,
    "cancel_requested_at": None,
    "compensation_started_at": None,
    "compensation_position": None,
    "ended_at": None,
}

RUN_DIRECTORY = Projection(
    name="run_directory",
    version=2,
    row=RunRow,
    key=("tenant_id", "run_id"),
    handles=get_args(RunEvent),
    locate=locate,
    project=project,
    indexes=(
        ("tenant_id", "started_position"),
        ("tenant_id", "status", "started_position"),
        ("tenant_id", "workflow_id", "started_position"),
        ("tenant_id", "parent_run_id", "started_position"),
    ),
)
