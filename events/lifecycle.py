"""The lifecycle events of the Open Workflow Specification: what others are told of runs and their tasks, in the words of the language.

Source: dsl-reference.md, "Lifecycle Events", and dsl.md, "Status Phases". None of them is in the log: they follow from the events of
runs, see run_lifecycle.py. `outputUri`, which is optional, is left out: an output is part of the answer about a run and has no address.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from events.event import JsonObject
from events.run_parts import RunError

SPECIFIED = "io.serverlessworkflow."

LifecyclePhase = Literal["pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"]
"""Where a run or a task is."""

QualifiedName = Annotated[str, Field(description="The run: `<workflow>-<run id>.<namespace>`.")]
Pointer = Annotated[str, Field(description="A JSON pointer to the task in its definition.")]


class DefinitionReference(BaseModel):
    """Which definition a run is of."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    version: str


class LifecycleError(RunError):
    """Why a run or a task has failed."""


class LifecycleEvent(BaseModel):
    """The data of a lifecycle event; `type` is the event's."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    type: ClassVar[str]

    @property
    def kind(self) -> str:
        """For example `workflow.started` of `io.serverlessworkflow.workflow.started.v1`."""
        return self.type.removeprefix(SPECIFIED).rpartition(".")[0]

    def to_json(self) -> bytes:
        """As the specification has it, without what is not known."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True, exclude_none=True)


class OfWorkflow(LifecycleEvent):
    """Of a run as a whole."""

    name: QualifiedName


class OfTask(LifecycleEvent):
    """Of one task."""

    workflow: QualifiedName
    task: Pointer


class WorkflowStartedEvent(OfWorkflow):
    """A run has started."""

    type = "io.serverlessworkflow.workflow.started.v1"

    definition: DefinitionReference
    started_at: AwareDatetime


class WorkflowSuspendedEvent(OfWorkflow):
    """A run was told to pause."""

    type = "io.serverlessworkflow.workflow.suspended.v1"

    suspended_at: AwareDatetime


class WorkflowResumedEvent(OfWorkflow):
    """A run goes on: it was paused, or it had failed and an operator tries again."""

    type = "io.serverlessworkflow.workflow.resumed.v1"

    resumed_at: AwareDatetime


class WorkflowCorrelationStartedEvent(OfWorkflow):
    """A task of a run began to listen for events."""

    type = "io.serverlessworkflow.workflow.correlation-started.v1"

    started_at: AwareDatetime


class WorkflowCorrelationCompletedEvent(OfWorkflow):
    """A task of a run has the events that it listened for; `correlation_keys` tie them together, none if nothing was to."""

    type = "io.serverlessworkflow.workflow.correlation-completed.v1"

    completed_at: AwareDatetime
    correlation_keys: JsonObject | None = None


class WorkflowCancelledEvent(OfWorkflow):
    """A run was ended because it was not wanted any more."""

    type = "io.serverlessworkflow.workflow.cancelled.v1"

    cancelled_at: AwareDatetime


class WorkflowFaultedEvent(OfWorkflow):
    """A run has failed."""

    type = "io.serverlessworkflow.workflow.faulted.v1"

    faulted_at: AwareDatetime
    error: LifecycleError


class WorkflowCompletedEvent(OfWorkflow):
    """A run came to its end."""

    type = "io.serverlessworkflow.workflow.completed.v1"

    completed_at: AwareDatetime


class WorkflowStatusChangedEvent(OfWorkflow):
    """A run is in another phase."""

    type = "io.serverlessworkflow.workflow.status-changed.v1"

    updated_at: AwareDatetime
    status: LifecyclePhase


class TaskCreatedEvent(OfTask):
    """It is a task's turn."""

    type = "io.serverlessworkflow.task.created.v1"

    created_at: AwareDatetime


class TaskStartedEvent(OfTask):
    """A task has started: what extensions do before it is done."""

    type = "io.serverlessworkflow.task.started.v1"

    started_at: AwareDatetime


class TaskSuspendedEvent(OfTask):
    """A task was open when its run was told to pause."""

    type = "io.serverlessworkflow.task.suspended.v1"

    suspended_at: AwareDatetime


class TaskResumedEvent(OfTask):
    """A task goes on with its run."""

    type = "io.serverlessworkflow.task.resumed.v1"

    resumed_at: AwareDatetime


class TaskRetriedEvent(OfTask):
    """A task is tried again."""

    type = "io.serverlessworkflow.task.retried.v1"

    retried_at: AwareDatetime


class TaskCancelledEvent(OfTask):
    """A task was given up."""

    type = "io.serverlessworkflow.task.cancelled.v1"

    cancelled_at: AwareDatetime


class TaskFaultedEvent(OfTask):
    """A task has failed."""

    type = "io.serverlessworkflow.task.faulted.v1"

    faulted_at: AwareDatetime
    error: LifecycleError


class TaskCompletedEvent(OfTask):
    """A task came to its end."""

    type = "io.serverlessworkflow.task.completed.v1"

    completed_at: AwareDatetime


class TaskStatusChangedEvent(OfTask):
    """A task is in another phase."""

    type = "io.serverlessworkflow.task.status-changed.v1"

    updated_at: AwareDatetime
    status: LifecyclePhase


LIFECYCLE: tuple[type[LifecycleEvent], ...] = (
    WorkflowStartedEvent,
    WorkflowSuspendedEvent,
    WorkflowResumedEvent,
    WorkflowCorrelationStartedEvent,
    WorkflowCorrelationCompletedEvent,
    WorkflowCancelledEvent,
    WorkflowFaultedEvent,
    WorkflowCompletedEvent,
    WorkflowStatusChangedEvent,
    TaskCreatedEvent,
    TaskStartedEvent,
    TaskSuspendedEvent,
    TaskResumedEvent,
    TaskRetriedEvent,
    TaskCancelledEvent,
    TaskFaultedEvent,
    TaskCompletedEvent,
    TaskStatusChangedEvent,
)
