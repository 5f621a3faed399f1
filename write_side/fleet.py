"""Keeps the capacities of a tenant's nodes together (stream `fleet-all`), so that a job too big for all is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never, get_args

from events.event import Id, Label
from events.fleet import FleetEvent, FleetNodeAdded, FleetNodeRemoved
from events.job import Requirements
from events.node import CpuMilli, GpuCount, MemoryMib
from infra.errors import Invalid
from infra.patterns.decider import Command, Decider

FLEET_ID = "all"
FLEET_STREAM = f"fleet-{FLEET_ID}"


class AddFleetNode(Command):
    """Count a newly registered node in."""

    public = False

    fleet_id: Id = FLEET_ID
    node_id: Id
    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpu_count: GpuCount = 0
    gpu_model: Label | None = None


class RemoveFleetNode(Command):
    """Count a retired node out."""

    public = False

    fleet_id: Id = FLEET_ID
    node_id: Id


FleetCommand = AddFleetNode | RemoveFleetNode


class NoNodeCanHold(Invalid):
    """No node of the fleet could hold this job, even if it were empty."""


class Capacity(NamedTuple):
    """What a node has when it is empty."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str | None

    def holds(self, need: Requirements) -> bool:
        return (
            need.cpu_milli <= self.cpu_milli
            and need.memory_mib <= self.memory_mib
            and need.gpu_count <= self.gpu_count
            and model_suits(need, self.gpu_model)
        )


def model_suits(need: Requirements, gpu_model: str | None) -> bool:
    """Any of the models asked for will do, compared exactly; a job without GPUs does not mind."""
    return not need.gpu_count or not need.gpu_models or gpu_model in need.gpu_models


@dataclass(frozen=True, slots=True)
class FleetState:
    """The capacity of each node, and how many nodes there are of each capacity: a fleet has many nodes of few kinds."""

    nodes: Mapping[str, Capacity] = field(default_factory=dict)
    kinds: Mapping[Capacity, int] = field(default_factory=dict)


EMPTY = FleetState()


def require_room(need: Requirements, fleet: FleetState) -> None:
    """Refuse what no node could hold if it were empty; with no node at all nobody knows yet, so it may be asked for."""
    if fleet.kinds and not any(capacity.holds(need) for capacity in fleet.kinds):
        raise NoNodeCanHold


def decide(command: FleetCommand, state: FleetState) -> list[FleetEvent]:
    match command:
        case AddFleetNode(node_id=node_id):
            if node_id in state.nodes:
                return []
            return [
                FleetNodeAdded(
                    node_id=node_id,
                    cpu_milli=command.cpu_milli,
                    memory_mib=command.memory_mib,
                    gpu_count=command.gpu_count,
                    gpu_model=command.gpu_model,
                )
            ]
        case RemoveFleetNode(node_id=node_id):
            return [FleetNodeRemoved(node_id=node_id)] if node_id in state.nodes else []
        case _:
            assert_never(command)


def evolve(state: FleetState, event: FleetEvent) -> FleetState:
    nodes = dict(state.nodes)
    kinds = dict(state.kinds)
    before = nodes.pop(event.node_id, None)
    if before is not None:
        kinds[before] -= 1
        if not kinds[before]:
            del kinds[before]
    match event:
        case FleetNodeAdded():
            capacity = Capacity(event.cpu_milli, event.memory_mib, event.gpu_count, event.gpu_model)
            nodes[event.node_id] = capacity
            kinds[capacity] = kinds.get(capacity, 0) + 1
        case FleetNodeRemoved():
            pass
        case _:
            assert_never(event)
    return FleetState(nodes, kinds)


FLEET = Decider("fleet", get_args(FleetCommand), EMPTY, decide, evolve)
