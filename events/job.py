"""What happens to a job: a piece of computing that runs on a node, in one attempt or several.

Attempts count from 1. A job's current attempt is the one that waits, is assigned, or runs.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from events.event import Count, Event, Id, JsonAny, JsonObject, Label, Reason
from events.node import GPU_MILLI_WHOLE, Attempt, CpuMilli, GpuCount, GpuShares, Labels, MemoryMib

DEPENDENCIES_MAX = 1_000
GPU_MODELS_MAX = 64
PRIORITY_MAX = 9
RETRIES_MAX = 20

Priority = Annotated[int, Field(ge=0, le=PRIORITY_MAX)]
"""How urgent a job is; PRIORITY_MAX goes first."""

Retries = Annotated[int, Field(ge=0, le=RETRIES_MAX)]
"""How many times a failed job is attempted again."""


def _without_duplicates(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(ids)) != len(ids):
        raise ValueError("must not name a job twice")
    return ids


Dependencies = Annotated[
    tuple[Id, ...],
    Field(max_length=DEPENDENCIES_MAX, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_without_duplicates),
]
"""Up to DEPENDENCIES_MAX different jobs."""


def _whole_if_any(given: dict[str, Any]) -> int:
    return GPU_MILLI_WHOLE if given.get("gpu_count") else 0


class Requirements(BaseModel):
    """The room that a job needs on one node.

    `gpu_milli` is the share of each GPU in thousandths: all of it unless said otherwise, less only of a single GPU,
    0 without GPUs. Any of `gpu_models` will do; none given means any model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpu_count: GpuCount = 0
    gpu_milli: Annotated[int, Field(ge=0, le=GPU_MILLI_WHOLE)] = Field(default_factory=_whole_if_any)
    gpu_models: tuple[Label, ...] = Field(default=(), max_length=GPU_MODELS_MAX)

    @model_validator(mode="after")
    def _share_fits_count(self) -> "Requirements":
        if self.gpu_count == 0:
            if self.gpu_milli:
                raise ValueError("gpu_milli must be 0 or left out when gpu_count is 0")
        elif self.gpu_milli == 0:
            raise ValueError("gpu_milli must be at least 1 when gpu_count is not 0")
        elif self.gpu_count > 1 and self.gpu_milli < GPU_MILLI_WHOLE:
            raise ValueError(f"gpu_milli must be {GPU_MILLI_WHOLE} when gpu_count is more than 1")
        return self


class JobSubmitted(Event):
    """When someone asked for a job.

    `waits_for` holds those of `depends_on` that had not completed by then. With none of them the job is queued by this
    event, as attempt 1; otherwise it waits until `job.queued` or `job.failed`.
    """

    type = "job.submitted"

    kind: Label
    requirements: Requirements
    payload: JsonObject = {}
    priority: Priority = 0
    retries: Retries = 0
    depends_on: Dependencies = ()
    waits_for: Dependencies = ()
    credits_offered: Count = 0
    labels: Labels = {}


class JobQueued(Event):
    """When a job that waited for its dependencies or for its next attempt became ready to be placed, as `attempt`."""

    type = "job.queued"

    attempt: Attempt


class JobAssigned(Event):
    """When an attempt was given to a node, with these parts of its GPUs."""

    type = "job.assigned"

    node_id: Id
    attempt: Attempt
    gpus: GpuShares = ()


class JobAssignmentRefused(Event):
    """When an attempt was not given to a node because the job had moved on; what was reserved there is not needed."""

    type = "job.assignment_refused"

    node_id: Id
    attempt: Attempt
    reason: Reason


class JobStarted(Event):
    """When the node began to run the attempt."""

    type = "job.started"

    node_id: Id
    attempt: Attempt


class JobCompleted(Event):
    """When the job was done; `duration_ms` as the worker measured it."""

    type = "job.completed"

    node_id: Id
    attempt: Attempt
    result: JsonAny = None
    duration_ms: Count | None = None


class JobAttemptFailed(Event):
    """When an attempt failed and another will be queued at `retry_at`."""

    type = "job.attempt_failed"

    node_id: Id
    attempt: Attempt
    error: Reason
    duration_ms: Count | None = None
    retry_at: AwareDatetime


class JobRequeued(Event):
    """When an attempt was lost with its node, through no fault of the job; it is queued again as attempt + 1."""

    type = "job.requeued"

    node_id: Id
    attempt: Attempt
    reason: Reason


class JobFailed(Event):
    """When a job failed for good: its last attempt did (`node_id`), or the job it depends on did (`cause_job_id`)."""

    type = "job.failed"

    attempt: Attempt
    node_id: Id | None = None
    error: Reason
    cause_job_id: Id | None = None
    duration_ms: Count | None = None


class JobCancelled(Event):
    """When whoever wanted the job no longer does; `node_id` is the node that had the attempt, if any had."""

    type = "job.cancelled"

    attempt: Attempt
    node_id: Id | None = None
    reason: Reason | None = None


JobEvent = (
    JobSubmitted
    | JobQueued
    | JobAssigned
    | JobAssignmentRefused
    | JobStarted
    | JobCompleted
    | JobAttemptFailed
    | JobRequeued
    | JobFailed
    | JobCancelled
)
