"""Decides what may be done with a task: ask for it, work on it, hand it over and end it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, assert_never, cast, get_args

from pydantic import Field, TypeAdapter

from events.event import Count, Id, JsonAny, Label, Name, Reason
from events.task import (
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
from infra.errors import Invalid, NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command, Decider, Others, StateForm
from write_side.agent import require_able, require_present
from write_side.timed import Timed

TIMEOUT_S_MIN = 0.001
TIMEOUT_S_MAX = 365 * 24 * 3600

TimeoutS = Annotated[float, Field(ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, allow_inf_nan=False)]
"""How long a task may stay open, in seconds."""


class RequestTask(Timed):
    """Ask for work from one agent (`agent_id`) or from any started agent with a `capability`, never from both."""

    creates = True

    task_id: Id = Field(default_factory=new_id)
    agent_id: Id | None = None
    capability: Label | None = None
    title: Name
    input: JsonAny = None
    timeout_s: TimeoutS | None = None


class AssignTask(Command):
    """Give a task that was asked for by capability to an agent that has it."""

    task_id: Id
    agent_id: Id


class StartTask(Command):
    """Begin to work on the task."""

    task_id: Id


class RecordTaskStep(Command):
    """Record a message or a tool call."""

    task_id: Id
    step: Step


class RecordTaskUsage(Command):
    """Record the tokens that a model took."""

    task_id: Id
    model: Name
    tokens_in: Count
    tokens_out: Count


class HandOverTask(Command):
    """Pass the task on; it stays open."""

    task_id: Id
    reason: Reason
    to: Name = "human"


class CompleteTask(Command):
    """Report the task as done."""

    task_id: Id
    result: JsonAny = None


class FailTask(Command):
    """Give the task up."""

    task_id: Id
    error: Reason


class CancelTask(Command):
    """Want the task no longer."""

    task_id: Id
    reason: Reason | None = None


class TimeOutTask(Command):
    """End the task because its deadline has come; nothing happens if it has ended or has no deadline."""

    public = False

    task_id: Id


Work = RecordTaskStep | RecordTaskUsage | HandOverTask | CompleteTask
TaskCommand = RequestTask | AssignTask | StartTask | Work | FailTask | CancelTask | TimeOutTask


class TaskUnknown(NotFound):
    """There is no such task."""


class TaskAlreadyExists(Rejection):
    """There is a task with this id already."""


class TaskForNobody(Invalid):
    """A task is asked either of one agent or of any agent with a capability: name exactly one of the two."""


class TaskAlreadyAssigned(Rejection):
    """The task is assigned already."""


class TaskNotAssigned(Rejection):
    """The task is not assigned to an agent yet."""


class TaskAlreadyStarted(Rejection):
    """The task is started already."""


class TaskNotStarted(Rejection):
    """The task is not started yet."""


class TaskAlreadyHandedOver(Rejection):
    """The task is handed over already."""


class TaskAlreadyEnded(Rejection):
    """The task has ended."""


Ended = Literal["completed", "failed", "cancelled", "timed_out"]
Status = Literal["unknown", "requested", "assigned", "running", "handed_over"] | Ended
ENDED = frozenset(get_args(Ended))


@dataclass(frozen=True, slots=True)
class TaskState:
    """Steps and usage are not kept: no decision depends on them, however many there are."""

    status: Status = "unknown"
    agent_id: str | None = None
    capability: str | None = None
    deadline_at: datetime | None = None


UNKNOWN = TaskState()
FORM = StateForm(1, TypeAdapter(TaskState))
_REPORTS = frozenset({RecordTaskStep, RecordTaskUsage})


def decide(command: TaskCommand, state: TaskState, others: Others) -> list[TaskEvent]:
    # Most commands by far; and to compare types costs a tenth of asking pydantic's classes one after another.
    if state.status == "running" and type(command) in _REPORTS:
        return _work(cast(Work, command), state)
    if isinstance(command, RequestTask):
        return _request(command, state, others)
    if state.status == "unknown":
        raise TaskUnknown(f"there is no task {command.task_id}", task_id=command.task_id)
    if isinstance(command, TimeOutTask):
        if state.status in ENDED or state.deadline_at is None:
            return []
        return [TaskTimedOut(deadline_at=state.deadline_at)]
    if state.status in ENDED:
        raise TaskAlreadyEnded(f"the task has ended: {state.status}", task_status=state.status)
    match command:
        case AssignTask():
            return _assign(command, state, others)
        case StartTask():
            return _start(state)
        case FailTask(error=error):
            return [TaskFailed(error=error)]
        case CancelTask(reason=reason):
            return [TaskCancelled(reason=reason)]
        case _:
            return _work(command, state)


def _work(command: Work, state: TaskState) -> list[TaskEvent]:
    """What only makes sense once somebody is at work: the agent, or whoever it was handed over to."""
    if state.status not in ("running", "handed_over"):
        raise TaskNotStarted
    match command:
        case RecordTaskStep(step=step):
            return [TaskStepRecorded(step=step)]
        case RecordTaskUsage(model=model, tokens_in=tokens_in, tokens_out=tokens_out):
            return [TaskUsageRecorded(model=model, tokens_in=tokens_in, tokens_out=tokens_out)]
        case CompleteTask(result=result):
            return [TaskCompleted(result=result)]
        case HandOverTask(reason=reason, to=to):
            if state.status == "handed_over":
                raise TaskAlreadyHandedOver
            return [TaskHandedOver(reason=reason, to=to)]
        case _:
            assert_never(command)


def _request(command: RequestTask, state: TaskState, others: Others) -> list[TaskEvent]:
    if state.status != "unknown":
        raise TaskAlreadyExists(f"there is a task {command.task_id} already", task_id=command.task_id)
    if (command.agent_id is None) == (command.capability is None):
        raise TaskForNobody
    requested = TaskRequested(
        agent_id=command.agent_id,
        capability=command.capability,
        title=command.title,
        input=command.input,
        deadline_at=None if command.timeout_s is None else command.at + timedelta(seconds=command.timeout_s),
    )
    if command.agent_id is None:
        return [requested]
    require_present(command.agent_id, others[f"agent-{command.agent_id}"])
    return [requested, TaskAssigned(agent_id=command.agent_id)]


def _assign(command: AssignTask, state: TaskState, others: Others) -> list[TaskEvent]:
    if state.status != "requested":
        raise TaskAlreadyAssigned(f"the task is assigned to agent {state.agent_id} already", agent_id=state.agent_id)
    require_able(command.agent_id, others[f"agent-{command.agent_id}"], state.capability)
    return [TaskAssigned(agent_id=command.agent_id)]


def _start(state: TaskState) -> list[TaskEvent]:
    if state.agent_id is None:
        raise TaskNotAssigned
    if state.status == "handed_over":
        raise TaskAlreadyHandedOver
    if state.status != "assigned":
        raise TaskAlreadyStarted
    return [TaskStarted(agent_id=state.agent_id)]


def consults(command: TaskCommand, state: object) -> Sequence[str]:
    if type(command) in _REPORTS:
        return ()
    match command:
        case RequestTask(agent_id=str(agent_id)) | AssignTask(agent_id=agent_id):
            return (f"agent-{agent_id}",)
        case _:
            return ()


def evolve(state: TaskState, event: TaskEvent) -> TaskState:
    match event:
        case TaskStepRecorded() | TaskUsageRecorded():
            return state
        case TaskStarted():
            return TaskState("running", state.agent_id, state.capability, state.deadline_at)
        case TaskRequested(capability=capability, deadline_at=deadline_at):
            return TaskState("requested", None, capability, deadline_at)
        case TaskAssigned(agent_id=agent_id):
            return TaskState("assigned", agent_id, state.capability, state.deadline_at)
        case TaskCompleted():
            return TaskState("completed", state.agent_id)
        case TaskHandedOver():
            return TaskState("handed_over", state.agent_id, state.capability, state.deadline_at)
        case TaskFailed():
            return TaskState("failed", state.agent_id)
        case TaskCancelled():
            return TaskState("cancelled", state.agent_id)
        case TaskTimedOut():
            return TaskState("timed_out", state.agent_id)
        case _:
            assert_never(event)


TASK = Decider("task", get_args(TaskCommand), UNKNOWN, decide, evolve, consults=consults, snapshots=FORM)
