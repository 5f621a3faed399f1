"""The task timeline: one row for each event of a task, in order, as a reader follows what an agent did."""

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


class TimelineRow(Row):
    """One event of a task.

    `kind` is set for steps; `detail` holds what no column does, such as the title, the result or a reason.
    """

    tenant_id: str
    task_id: str
    stream_version: int
    at: datetime
    type: str
    kind: Literal["message", "tool_call"] | None = None
    role: str | None = None
    content: str | None = None
    tool: str | None = None
    call_id: str | None = None
    arguments: dict[str, JsonValue] | None = None
    reply: str | None = None
    error: str | None = None
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    agent_id: str | None = None
    detail: dict[str, JsonValue] | None = None
    position: int


def locate(envelope: Envelope[TaskEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id, envelope.stream_version


def project(envelope: Envelope[TaskEvent], row: TimelineRow | None) -> TimelineRow | None:
    columns = _columns(envelope.event)
    columns["tenant_id"] = envelope.tenant_id
    columns["task_id"] = envelope.entity_id
    columns["stream_version"] = envelope.stream_version
    columns["at"] = envelope.occurred_at
    columns["type"] = envelope.event.type
    columns["position"] = envelope.position
    return TimelineRow.model_validate(columns)


def _columns(event: TaskEvent) -> dict[str, object]:
    match event:
        case TaskStepRecorded(step=step):
            return _step_columns(step)
        case TaskUsageRecorded(model=model, tokens_in=tokens_in, tokens_out=tokens_out):
            return {"model": model, "tokens_in": tokens_in, "tokens_out": tokens_out}
        case TaskAssigned(agent_id=agent_id) | TaskStarted(agent_id=agent_id):
            return {"agent_id": agent_id}
        case TaskRequested(agent_id=agent_id):
            return {"agent_id": agent_id, "detail": event.model_dump(mode="json", exclude={"agent_id"})}
        case TaskFailed(error=error):
            return {"error": error}
        case TaskHandedOver() | TaskCompleted() | TaskCancelled() | TaskTimedOut():
            return {"detail": event.model_dump(mode="json")}
        case _:
            pass
    return {}


def _step_columns(step: Step) -> dict[str, object]:
    if isinstance(step, MessageStep):
        return {"kind": step.kind, "role": step.role, "content": step.content}
    return {
        "kind": step.kind,
        "tool": step.tool,
        "call_id": step.call_id,
        "arguments": step.arguments,
        "reply": step.reply,
        "error": step.error,
    }


TASK_TIMELINE = Projection(
    name="task_timeline",
    version=1,
    row=TimelineRow,
    key=("tenant_id", "task_id", "stream_version"),
    handles=get_args(TaskEvent),
    locate=locate,
    project=project,
    one_row_per_event=True,
)
