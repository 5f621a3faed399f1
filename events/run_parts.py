"""What events of runs are made of: how tasks are told apart, what they wait for, and errors.

Tasks are numbered from 1 in the order in which they begin; 0 stands for the run itself. `reference` is the JSON pointer to a task in its
definition, which is the same in each round of a loop and in each attempt.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from events.event import Id, JsonAny, JsonObject, Label, Name, Text
from events.workflow import WorkflowVersion

TaskNumber = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""A task of a run, from 1 in the order of beginning; 0 is the run itself."""

Reference = Annotated[str, Field(max_length=4_000)]
"""A JSON pointer to a task in its definition, for example `/do/0/bookHotel`."""

TaskName = Annotated[str, Field(max_length=1_000)]
"""What a definition calls a task."""


class Part(BaseModel):
    """A part of an event of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunError(Part):
    """An error as problem details (RFC 9457); `instance` is the reference of the task that raised it."""

    type: Text
    status: int
    title: Text | None = None
    detail: Text | None = None
    instance: Text | None = None


class ParentTask(Part):
    """The task of another run that waits for this one."""

    run_id: Id
    task: TaskNumber


class Origin(Part):
    """The run that this one was forked from, and the last of its tasks that both have in common."""

    run_id: Id
    task: TaskNumber


class Deadline(Part):
    """When a task that is open in a forked run, or with 0 the run itself, has taken too long."""

    task: TaskNumber
    at: AwareDatetime


class Branch(Part):
    """A branch of a fork by the number of that task and its place, from 0."""

    task: TaskNumber
    place: int


class CallAwaited(Part):
    """A call to carry out: a protocol of the language or a function by its name; `arguments` is what `with` holds, evaluated.

    What secrets go into is left out of `arguments` and evaluated where the call is carried out.
    """

    kind: Literal["call"] = "call"
    function: Text
    arguments: JsonObject = {}


class ProcessAwaited(Part):
    """A script or a shell command to run; `arguments` is what `run` holds, evaluated. Nobody waits for its end if it is not `awaited`."""

    kind: Literal["process"] = "process"
    arguments: JsonObject = {}
    awaited: bool = True


class DocumentsAwaited(Part):
    """Documents that lie elsewhere, by their addresses: those of a function, or of schemas. The answer holds each at its address.

    By which policy they are asked for is left out and found where they are fetched.
    """

    kind: Literal["documents"] = "documents"
    of: Literal["function", "schemas"]
    addresses: tuple[Text, ...]


class TimerAwaited(Part):
    """A moment to wait for."""

    kind: Literal["timer"] = "timer"
    until: AwareDatetime


class EventsAwaited(Part):
    """Events to listen for; `types` are the only ones that matter, none if any may."""

    kind: Literal["events"] = "events"
    types: tuple[Text, ...] = ()


class RunAwaited(Part):
    """Another workflow to run; `awaited` is False if nobody waits for its end."""

    kind: Literal["run"] = "run"
    run_id: Id
    workflow_id: Id
    workflow_version: WorkflowVersion | None = None
    input: JsonAny = None
    awaited: bool = True


class UndoingAwaited(Part):
    """Another run to undo as a whole."""

    kind: Literal["undoing"] = "undoing"
    run_id: Id


class AgentTaskAwaited(Part):
    """Work asked of an agent, or of any agent with a capability."""

    kind: Literal["agent_task"] = "agent_task"
    task_id: Id
    agent_id: Id | None = None
    capability: Label | None = None
    title: Name
    input: JsonAny = None
    timeout_s: float | None = None


class JobAwaited(Part):
    """A compute job; `request` holds the fields of the command that submits it."""

    kind: Literal["job"] = "job"
    job_id: Id
    request: JsonObject = {}


class ApprovalAwaited(Part):
    """People who are asked; `request` holds the fields of the command that asks them."""

    kind: Literal["approval"] = "approval"
    approval_id: Id
    request: JsonObject = {}


Awaited = Annotated[
    CallAwaited
    | ProcessAwaited
    | DocumentsAwaited
    | TimerAwaited
    | EventsAwaited
    | RunAwaited
    | UndoingAwaited
    | AgentTaskAwaited
    | JobAwaited
    | ApprovalAwaited,
    Field(discriminator="kind"),
]
"""What a task waits for."""
