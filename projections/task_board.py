"""The task board: every task with its state, who has it, and what it took so far."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import JsonValue

from events.envelope import Envelope
from events.task import (
    MessageStep,
    Step,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskStepRecorded,
    TaskTimedOut,
    TaskUsageRecorded,
)
from infra.patterns.projection import Key, Projection, Row

TaskStatus = Literal["requested", "assigned", "running", "handed_over", "completed", "failed", "cancelled", "timed_out"]


class TaskRow(Row):
    """A task as it is now.

    `tool_calls` counts every call, `tool_replies` and `tool_errors` those that brought a reply or an error.
    """

    tenant_id: str
    task_id: str
    title: str
    status: TaskStatus
    agent_id: str | None
    capability: str | None
    deadline_at: datetime | None
    messages: int = 0
    tool_calls: int = 0
    tool_replies: int = 0
    tool_errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    requested_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: JsonValue = None
    error: str | None = None
    version: int
    position: int


def locate(envelope: Envelope[TaskEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[TaskEvent], row: TaskRow | None) -> TaskRow | None:
    event = envelope.event
    if isinstance(event, TaskRequested):
        return _requested(envelope, event)
    if row is None:
        return row
    changes = _changes(event, row, envelope.occurred_at)
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _requested(envelope: Envelope[TaskEvent], event: TaskRequested) -> TaskRow:
    return TaskRow(
        tenant_id=envelope.tenant_id,
        task_id=envelope.entity_id,
        title=event.title,
        status="requested",
        agent_id=event.agent_id,
        capability=event.capability,
        deadline_at=event.deadline_at,
        requested_at=envelope.occurred_at,
        version=envelope.stream_version,
        position=envelope.position,
    )


def _changes(event: TaskEvent, row: TaskRow, at: datetime) -> dict[str, object]:
    match event:
        case TaskStepRecorded(step=step):
            return _counted(step, row)
        case TaskUsageRecorded(tokens_in=tokens_in, tokens_out=tokens_out):
            return {"tokens_in": row.tokens_in + tokens_in, "tokens_out": row.tokens_out + tokens_out}
        case TaskAssigned(agent_id=agent_id):
            return {"status": "assigned", "agent_id": agent_id}
        case TaskStarted(agent_id=agent_id):
            return {"status": "running", "agent_id": agent_id, "started_at": at}
        case TaskHandedOver():
            return {"status": "handed_over"}
        case TaskCompleted(result=result):
            return {"status": "completed", "ended_at": at, "result": result}
        case TaskFailed(error=error):
            return {"status": "failed", "ended_at": at, "error": error}
        case TaskCancelled():
            return {"status": "cancelled", "ended_at": at}
        case TaskTimedOut():
            return {"status": "timed_out", "ended_at": at}
        case _:
            pass
    return {}


def _counted(step: Step, row: TaskRow) -> dict[str, object]:
    if isinstance(step, MessageStep):
        return {"messages": row.messages + 1}
    return {
        "tool_calls": row.tool_calls + 1,
        "tool_replies": row.tool_replies + (step.reply is not None),
        "tool_errors": row.tool_errors + (step.error is not None),
    }


TASK_BOARD = Projection(
    name="task_board",
    version=1,
    row=TaskRow,
    key=("tenant_id", "task_id"),
    handles=get_args(TaskEvent),
    locate=locate,
    project=project,
    indexes=(
        ("tenant_id", "status", "task_id"),
        ("tenant_id", "agent_id", "task_id"),
        ("tenant_id", "capability", "task_id"),
    ),
)
