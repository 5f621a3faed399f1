"""Decides what may be done with a node: register, watch, retire it, and reserve room on it, never more than it has."""

from collections.abc import Sequence
from typing import assert_never, get_args

from pydantic import AwareDatetime, Field

from events.event import Id, Label, Name
from events.job import Requirements
from events.node import (
    RESERVATIONS_MAX,
    Attempt,
    CpuMilli,
    GpuCount,
    Kinds,
    Labels,
    MemoryMib,
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
from infra.errors import NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command, Decider
from write_side.fleet import AddFleetNode, RemoveFleetNode, kind_suits, model_suits
from write_side.node_gpus import pick_gpus
from write_side.node_state import FORM, UNKNOWN, NodeState, evolve


class RegisterNode(Command):
    """Make a node known; it takes jobs from its first heartbeat on, of these kinds only if any are given."""

    creates = True

    node_id: Id = Field(default_factory=new_id)
    name: Name
    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpu_count: GpuCount = 0
    gpu_model: Label | None = None
    labels: Labels = {}
    kinds: Kinds | None = None


class HeartbeatNode(Command):
    """Say that the node is alive; recorded only if it was not online."""

    heartbeat = True

    node_id: Id


class DrainNode(Command):
    """Give the node no further jobs."""

    node_id: Id


class RetireNode(Command):
    """Take the node out of the fleet for good; refused while anything is reserved on it."""

    node_id: Id


class TakeNodeOffline(Command):
    """Count the node as lost, since its last heartbeat is too long ago; nothing happens if it is not online."""

    public = False

    node_id: Id
    last_seen_at: AwareDatetime


class ReserveNode(Command):
    """Set room aside for an attempt at a job: the answer, either way, is an event, since a saga waits for it."""

    public = False

    node_id: Id
    job_id: Id
    attempt: Attempt
    requirements: Requirements
    kind: Label | None = None


class ReleaseNode(Command):
    """Free the room of an attempt; nothing happens if it has none."""

    public = False

    node_id: Id
    job_id: Id
    attempt: Attempt


NodeCommand = HeartbeatNode | ReserveNode | ReleaseNode | RegisterNode | DrainNode | RetireNode | TakeNodeOffline


class NodeUnknown(NotFound):
    """There is no such node."""


class NodeAlreadyExists(Rejection):
    """There is a node with this id already."""


class NodeAlreadyDrained(Rejection):
    """The node is drained already."""


class NodeAlreadyRetired(Rejection):
    """The node has been retired."""


class NodeStillReserved(Rejection):
    """The node still has jobs: drain it and let them end first."""


def decide(command: NodeCommand, state: NodeState) -> list[NodeEvent]:
    if isinstance(command, RegisterNode):
        return _register(command, state)
    if state.status == "unknown":
        raise NodeUnknown(f"there is no node {command.node_id}", node_id=command.node_id)
    match command:
        case HeartbeatNode():
            _require_in_fleet(state)
            return [] if state.status == "online" else [NodeWentOnline()]
        case ReserveNode():
            return _reserve(command, state)
        case ReleaseNode(job_id=job_id, attempt=attempt):
            held = (job_id, attempt) in state.reservations
            return [NodeReleased(job_id=job_id, attempt=attempt)] if held else []
        case DrainNode():
            _require_in_fleet(state)
            if state.draining:
                raise NodeAlreadyDrained
            return [NodeDrained()]
        case RetireNode():
            _require_in_fleet(state)
            if state.reservations:
                raise NodeStillReserved(reservations=len(state.reservations))
            return [NodeRetired()]
        case TakeNodeOffline(last_seen_at=last_seen_at):
            return [NodeWentOffline(last_seen_at=last_seen_at)] if state.status == "online" else []
        case _:
            assert_never(command)


def _require_in_fleet(state: NodeState) -> None:
    if state.status == "retired":
        raise NodeAlreadyRetired


def _register(command: RegisterNode, state: NodeState) -> list[NodeEvent]:
    if state.status != "unknown":
        raise NodeAlreadyExists(f"there is a node {command.node_id} already", node_id=command.node_id)
    return [
        NodeRegistered(
            name=command.name,
            cpu_milli=command.cpu_milli,
            memory_mib=command.memory_mib,
            gpu_count=command.gpu_count,
            gpu_model=command.gpu_model,
            labels=command.labels,
            kinds=command.kinds,
        )
    ]


def _reserve(command: ReserveNode, state: NodeState) -> list[NodeEvent]:
    job_id, attempt, need = command.job_id, command.attempt, command.requirements
    if (job_id, attempt) in state.reservations:
        return []
    gpus = pick_gpus(need, state.gpus_free)
    reason = _reason_against(command.kind, need, state)
    if reason is not None or gpus is None:
        reason = reason or "there are not enough GPUs free"
        return [NodeReservationRefused(job_id=job_id, attempt=attempt, reason=reason)]
    return [
        NodeReserved(job_id=job_id, attempt=attempt, cpu_milli=need.cpu_milli, memory_mib=need.memory_mib, gpus=gpus)
    ]


def _reason_against(kind: str | None, need: Requirements, state: NodeState) -> str | None:
    """Why the node cannot take this, GPUs aside; None if it can."""
    if state.status != "online":
        return f"the node is not online but {state.status}"
    if state.draining:
        return "the node is drained"
    if kind is not None and not kind_suits(kind, state.kinds):
        return f"the node does no jobs of the kind {kind}"
    if not model_suits(need, state.gpu_model):
        return "the node has another GPU model"
    if need.cpu_milli > state.cpu_milli_free:
        return "there is not enough processor time free"
    if need.memory_mib > state.memory_mib_free:
        return "there is not enough memory free"
    if len(state.reservations) >= RESERVATIONS_MAX:
        return f"the node has {RESERVATIONS_MAX} reservations already"
    return None


def companions(command: NodeCommand, state: NodeState) -> Sequence[Command]:
    """The fleet learns of a node in the same append."""
    match command:
        case RegisterNode():
            return [
                AddFleetNode(
                    node_id=command.node_id,
                    cpu_milli=command.cpu_milli,
                    memory_mib=command.memory_mib,
                    gpu_count=command.gpu_count,
                    gpu_model=command.gpu_model,
                    kinds=command.kinds,
                )
            ]
        case RetireNode(node_id=node_id):
            return [RemoveFleetNode(node_id=node_id)]
        case _:
            return ()


NODE = Decider("node", get_args(NodeCommand), UNKNOWN, decide, evolve, companions, snapshots=FORM)
