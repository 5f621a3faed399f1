"""What happens to a task: a piece of work that is asked of an agent."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from events.event import Count, Event, Id, JsonAny, JsonObject, Label, Name, Reason, Text

Role = Literal["system", "user", "assistant", "tool"]


class MessageStep(BaseModel):
    """A message of the conversation; without `content` when the model only called tools."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["message"]
    role: Role
    content: Text | None = None


class ToolCallStep(BaseModel):
    """A call of a tool with what came back: `reply`, `error`, or neither if the answer is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tool_call"]
    tool: Name
    call_id: Name | None = None
    arguments: JsonObject = {}
    reply: Text | None = None
    error: Text | None = None


Step = Annotated[MessageStep | ToolCallStep, Field(discriminator="kind")]


class TaskRequested(Event):
    """When work was asked of one agent (`agent_id`) or of any started agent with a `capability`."""

    type = "task.requested"

    agent_id: Id | None = None
    capability: Label | None = None
    title: Name
    input: JsonAny = None
    deadline_at: AwareDatetime | None = None


class TaskAssigned(Event):
    """When it was settled which agent does the task."""

    type = "task.assigned"

    agent_id: Id


class TaskStarted(Event):
    """When the agent began to work on the task."""

    type = "task.started"

    agent_id: Id


class TaskStepRecorded(Event):
    """When a message was exchanged or a tool was called."""

    type = "task.step_recorded"

    step: Step


class TaskUsageRecorded(Event):
    """When a model was used for the task, with the tokens it took."""

    type = "task.usage_recorded"

    model: Name
    tokens_in: Count
    tokens_out: Count


class TaskHandedOver(Event):
    """When the agent passed the task on, usually to a human, and it is still open."""

    type = "task.handed_over"

    reason: Reason
    to: Name = "human"


class TaskCompleted(Event):
    """When the task was done."""

    type = "task.completed"

    result: JsonAny = None


class TaskFailed(Event):
    """When the task was given up."""

    type = "task.failed"

    error: Reason


class TaskCancelled(Event):
    """When whoever wanted the task no longer does."""

    type = "task.cancelled"

    reason: Reason | None = None


class TaskTimedOut(Event):
    """When the task was still open at its deadline."""

    type = "task.timed_out"

    deadline_at: AwareDatetime


TaskEvent = (
    TaskRequested
    | TaskAssigned
    | TaskStarted
    | TaskStepRecorded
    | TaskUsageRecorded
    | TaskHandedOver
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
    | TaskTimedOut
)
