"""What is known of a node: what it has, what of that is free, and who holds the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, assert_never

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from events.node import (
    GPU_MILLI_WHOLE,
    NodeDrained,
    NodeEvent,
    NodeRegistered,
    NodeReleased,
    NodeReservationRefused,
    NodeReserved,
    NodeRetired,
    NodeWentOffline,
    NodeWentOnline,
)
from infra.patterns.decider import StateForm

Held = tuple[str, int]
"""A job and its attempt."""


def _by_attempt(kept: Sequence[Mapping[str, Any]]) -> Mapping[Held, Mapping[str, Any]]:
    return {(each["job_id"], each["attempt"]): each for each in kept}


def _in_order(reservations: Mapping[Held, NodeReserved]) -> list[NodeReserved]:
    return list(reservations.values())


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is free, per GPU in thousandths, the reservations that are live now, and the kinds of jobs (None is every)."""

    status: Literal["unknown", "registered", "online", "offline", "retired"] = "unknown"
    draining: bool = False
    gpu_model: str | None = None
    cpu_milli_free: int = 0
    memory_mib_free: int = 0
    gpus_free: tuple[int, ...] = ()
    reservations: Annotated[
        Mapping[Held, NodeReserved], BeforeValidator(_by_attempt), PlainSerializer(_in_order, list[NodeReserved])
    ] = field(default_factory=dict)
    kinds: frozenset[str] | None = None


UNKNOWN = NodeState()
FORM = StateForm(1, TypeAdapter(NodeState))


def evolve(state: NodeState, event: NodeEvent) -> NodeState:
    match event:
        case NodeReserved(job_id=job_id, attempt=attempt):
            return _hold(state, event, {**state.reservations, (job_id, attempt): event}, sign=-1)
        case NodeReleased(job_id=job_id, attempt=attempt):
            reservations = dict(state.reservations)
            held = reservations.pop((job_id, attempt), None)
            return state if held is None else _hold(state, held, reservations, sign=1)
        case NodeReservationRefused():
            return state
        case NodeWentOnline():
            return replace(state, status="online")
        case NodeWentOffline():
            return replace(state, status="offline")
        case NodeDrained():
            return replace(state, draining=True)
        case NodeRetired():
            return replace(state, status="retired")
        case NodeRegistered():
            return _registered(event)
        case _:
            assert_never(event)


def _registered(event: NodeRegistered) -> NodeState:
    return NodeState(
        status="registered",
        gpu_model=event.gpu_model,
        cpu_milli_free=event.cpu_milli,
        memory_mib_free=event.memory_mib,
        gpus_free=(GPU_MILLI_WHOLE,) * event.gpu_count,
        kinds=None if event.kinds is None else frozenset(event.kinds),
    )


def _hold(
    state: NodeState, room: NodeReserved, reservations: Mapping[Held, NodeReserved], sign: Literal[-1, 1]
) -> NodeState:
    """The state with this room taken (-1) or given back (1)."""
    gpus_free = state.gpus_free
    if room.gpus:
        shares = {share.index: share.milli for share in room.gpus}
        gpus_free = tuple(milli + sign * shares.get(index, 0) for index, milli in enumerate(gpus_free))
    cpu_milli = state.cpu_milli_free + sign * room.cpu_milli
    memory_mib = state.memory_mib_free + sign * room.memory_mib
    return NodeState(
        state.status, state.draining, state.gpu_model, cpu_milli, memory_mib, gpus_free, reservations, state.kinds
    )
