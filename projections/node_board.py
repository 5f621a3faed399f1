"""The node board: every node with its capacity, what is reserved of it and for which jobs."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from events.envelope import Envelope
from events.node import (
    GPU_MILLI_WHOLE,
    GpuShare,
    NodeDrained,
    NodeEvent,
    NodeRegistered,
    NodeReleased,
    NodeReserved,
    NodeRetired,
    NodeWentOffline,
    NodeWentOnline,
)
from infra.patterns.projection import Key, Projection, Row

NodeStatus = Literal["registered", "online", "offline", "retired"]


class Reservation(BaseModel):
    """What an attempt at a job holds of a node."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    attempt: int
    cpu_milli: int
    memory_mib: int
    gpus: tuple[GpuShare, ...]


class NodeRow(Row):
    """A node as it is now; without `kinds` it does every kind of job.

    `gpus` is what is reserved of each GPU in thousandths, by index; `reservations` are keyed by `<job>/<attempt>`.
    `over_capacity` stays true once more was reserved than there is, at whatever event that was.
    """

    tenant_id: str
    node_id: str
    name: str
    status: NodeStatus = "registered"
    draining: bool = False
    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str | None
    labels: dict[str, str]
    kinds: tuple[str, ...] | None
    cpu_milli_reserved: int = 0
    memory_mib_reserved: int = 0
    gpu_milli_reserved: int = 0
    gpus: tuple[int, ...]
    reservations: dict[str, Reservation] = {}
    over_capacity: bool = False
    registered_at: datetime
    last_seen_at: datetime | None = None
    version: int
    position: int


def locate(envelope: Envelope[NodeEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[NodeEvent], row: NodeRow | None) -> NodeRow | None:
    event = envelope.event
    if isinstance(event, NodeRegistered):
        return _registered(envelope, event)
    if row is None:
        return row
    changes = _changes(event, row)
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _registered(envelope: Envelope[NodeEvent], event: NodeRegistered) -> NodeRow:
    return NodeRow(
        tenant_id=envelope.tenant_id,
        node_id=envelope.entity_id,
        name=event.name,
        cpu_milli=event.cpu_milli,
        memory_mib=event.memory_mib,
        gpu_count=event.gpu_count,
        gpu_model=event.gpu_model,
        labels=event.labels,
        kinds=event.kinds,
        gpus=(0,) * event.gpu_count,
        registered_at=envelope.occurred_at,
        version=envelope.stream_version,
        position=envelope.position,
    )


def _changes(event: NodeEvent, row: NodeRow) -> dict[str, object]:
    match event:
        case NodeReserved():
            return _reserved(event, row)
        case NodeReleased(job_id=job_id, attempt=attempt):
            return _released(f"{job_id}/{attempt}", row)
        case NodeWentOnline():
            return {"status": "online"}
        case NodeWentOffline(last_seen_at=last_seen_at):
            return {"status": "offline", "last_seen_at": last_seen_at}
        case NodeDrained():
            return {"draining": True}
        case NodeRetired():
            return {"status": "retired"}
        case _:
            pass
    return {}


def _reserved(event: NodeReserved, row: NodeRow) -> dict[str, object]:
    reservation = Reservation(
        job_id=event.job_id,
        attempt=event.attempt,
        cpu_milli=event.cpu_milli,
        memory_mib=event.memory_mib,
        gpus=event.gpus,
    )
    return _held(row, {**row.reservations, f"{event.job_id}/{event.attempt}": reservation}, reservation, sign=1)


def _released(key: str, row: NodeRow) -> dict[str, object]:
    reservations = dict(row.reservations)
    reservation = reservations.pop(key, None)
    return {} if reservation is None else _held(row, reservations, reservation, sign=-1)


def _held(
    row: NodeRow, reservations: dict[str, Reservation], moved: Reservation, sign: Literal[-1, 1]
) -> dict[str, object]:
    """Adds and subtracts, so that room given twice to one attempt would still show in the sums."""
    cpu_milli = row.cpu_milli_reserved + sign * moved.cpu_milli
    memory_mib = row.memory_mib_reserved + sign * moved.memory_mib
    gpus = list(row.gpus)
    no_such_gpu = False
    for share in moved.gpus:
        if share.index < row.gpu_count:
            gpus[share.index] += sign * share.milli
        else:
            no_such_gpu = True
    over = (
        no_such_gpu
        or cpu_milli > row.cpu_milli
        or memory_mib > row.memory_mib
        or any(milli > GPU_MILLI_WHOLE for milli in gpus)
    )
    return {
        "reservations": reservations,
        "cpu_milli_reserved": cpu_milli,
        "memory_mib_reserved": memory_mib,
        "gpu_milli_reserved": sum(gpus),
        "gpus": tuple(gpus),
        "over_capacity": row.over_capacity or over,
    }


NODE_BOARD = Projection(
    name="node_board",
    version=2,
    row=NodeRow,
    key=("tenant_id", "node_id"),
    handles=get_args(NodeEvent),
    locate=locate,
    project=project,
    indexes=(
        ("tenant_id", "status", "node_id"),
        ("tenant_id", "gpu_model", "node_id"),
        ("tenant_id", "name", "node_id"),
    ),
)
