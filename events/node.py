"""What happens to a node, a machine with processors, memory and GPUs on which jobs run; the units of its capacity."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from events.event import Event, Id, Label, Name, Reason

CPU_MILLI_MAX = 10_000_000
MEMORY_MIB_MAX = 100_000_000
GPU_COUNT_MAX = 64
GPU_MILLI_WHOLE = 1_000
ATTEMPT_MAX = 1_000_000
LABELS_MAX = 64
KINDS_MAX = 64
RESERVATIONS_MAX = 1_000
"""How many attempts may have room on a node at once."""

CpuMilli = Annotated[int, Field(ge=1, le=CPU_MILLI_MAX)]
"""Processor time in thousandths of a core."""

MemoryMib = Annotated[int, Field(ge=0, le=MEMORY_MIB_MAX)]
"""Memory in mebibytes."""

GpuCount = Annotated[int, Field(ge=0, le=GPU_COUNT_MAX)]
"""How many GPUs."""

GpuIndex = Annotated[int, Field(ge=0, lt=GPU_COUNT_MAX)]
"""Which GPU of a node, from 0."""

Attempt = Annotated[int, Field(ge=1, le=ATTEMPT_MAX)]
"""Which attempt at a job, from 1."""

Labels = Annotated[dict[Label, Label], Field(max_length=LABELS_MAX)]
"""What people mark things with: up to LABELS_MAX words, each with a value."""


def _without_duplicates(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(kinds)) != len(kinds):
        raise ValueError("must not name a kind twice")
    return kinds


Kinds = Annotated[
    tuple[Label, ...],
    Field(min_length=1, max_length=KINDS_MAX, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_without_duplicates),
]
"""From one to KINDS_MAX different kinds of jobs."""


class GpuShare(BaseModel):
    """A part of one GPU of a node, in thousandths; GPU_MILLI_WHOLE is all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: GpuIndex
    milli: Annotated[int, Field(ge=1, le=GPU_MILLI_WHOLE)]


GpuShares = Annotated[tuple[GpuShare, ...], Field(max_length=GPU_COUNT_MAX)]
"""The parts of a node's GPUs that a job holds."""


class NodeRegistered(Event):
    """When a node was made known with its capacity; it is not online yet. Without `kinds` it does every kind of job."""

    type = "node.registered"

    name: Name
    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpu_count: GpuCount = 0
    gpu_model: Label | None = None
    labels: Labels = {}
    kinds: Kinds | None = None


class NodeWentOnline(Event):
    """When a node that was not online sent a heartbeat."""

    type = "node.went_online"


class NodeWentOffline(Event):
    """When a node had not sent a heartbeat for too long; the last one came at `last_seen_at`."""

    type = "node.went_offline"

    last_seen_at: AwareDatetime


class NodeDrained(Event):
    """When a node was told to take no further jobs; those it has go on."""

    type = "node.drained"


class NodeRetired(Event):
    """When a node was taken out of the fleet for good."""

    type = "node.retired"


class NodeReserved(Event):
    """When room on a node was set aside for an attempt at a job."""

    type = "node.reserved"

    job_id: Id
    attempt: Attempt
    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpus: GpuShares = ()


class NodeReservationRefused(Event):
    """When a node had no room for an attempt at a job, or was in no state to take it."""

    type = "node.reservation_refused"

    job_id: Id
    attempt: Attempt
    reason: Reason


class NodeReleased(Event):
    """When the room set aside for an attempt at a job became free again."""

    type = "node.released"

    job_id: Id
    attempt: Attempt


NodeEvent = (
    NodeRegistered
    | NodeWentOnline
    | NodeWentOffline
    | NodeDrained
    | NodeRetired
    | NodeReserved
    | NodeReservationRefused
    | NodeReleased
)
