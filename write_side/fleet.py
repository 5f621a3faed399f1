"""Keeps the capacities of a tenant's nodes together (stream `fleet-all`), so that a job too big for all is refused."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, assert_never, get_args

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from events.event import Id, Label
from events.fleet import FleetEvent, FleetNodeAdded, FleetNodeRemoved
from events.job import Requirements
from events.node import CpuMilli, GpuCount, Kinds, MemoryMib
from infra.errors import Invalid
from infra.patterns.decider import Command, Decider, StateForm

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
    kinds: Kinds | None = None


class RemoveFleetNode(Command):
    """Count a retired node out."""

    public = False

    fleet_id: Id = FLEET_ID
    node_id: Id


FleetCommand = AddFleetNode | RemoveFleetNode


class NoNodeCanHold(Invalid):
    """No node of the fleet could hold this job, even if it were empty."""


class Capacity(NamedTuple):
    """What a node has when it is empty, and the kinds of jobs that it does: None is every kind."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str | None
    kinds: frozenset[str] | None

    def holds(self, kind: str, need: Requirements) -> bool:
        return (
            need.cpu_milli <= self.cpu_milli
            and need.memory_mib <= self.memory_mib
            and need.gpu_count <= self.gpu_count
            and model_suits(need, self.gpu_model)
            and kind_suits(kind, self.kinds)
        )


def model_suits(need: Requirements, gpu_model: str | None) -> bool:
    """Any of the models asked for will do, compared exactly; a job without GPUs does not mind."""
    return not need.gpu_count or not need.gpu_models or gpu_model in need.gpu_models


def kind_suits(kind: str, kinds: frozenset[str] | None) -> bool:
    """A node that names no kinds does every kind, any other just those that it names, compared exactly."""
    return kinds is None or kind in kinds


@dataclass(frozen=True, slots=True)
class FleetState:
    """The capacity of each node, and how many nodes there are of each: a fleet has many nodes of few capacities."""

    nodes: Mapping[str, Capacity] = field(default_factory=dict)
    capacities: Mapping[Capacity, int] = field(default_factory=dict)


EMPTY = FleetState()


def _counted(nodes: Mapping[str, Capacity]) -> FleetState:
    return FleetState(nodes, Counter(nodes.values()))


_NODES: TypeAdapter[Mapping[str, Capacity]] = TypeAdapter(Mapping[str, Capacity])
FORM = StateForm(
    1,
    TypeAdapter(
        Annotated[
            FleetState,
            PlainValidator(lambda kept: _counted(_NODES.validate_python(kept))),
            PlainSerializer(lambda fleet: _NODES.dump_python(fleet.nodes, mode="json")),
        ]
    ),
)


def require_room(kind: str, need: Requirements, fleet: FleetState) -> None:
    """Refuse what no node could do if it were empty; with no node at all nobody knows yet, so it may be asked for."""
    if not fleet.capacities or any(capacity.holds(kind, need) for capacity in fleet.capacities):
        return
    if not any(kind_suits(kind, capacity.kinds) for capacity in fleet.capacities):
        raise NoNodeCanHold(f"no node of the fleet does jobs of the kind {kind}", kind=kind)
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
                    kinds=command.kinds,
                )
            ]
        case RemoveFleetNode(node_id=node_id):
            return [FleetNodeRemoved(node_id=node_id)] if node_id in state.nodes else []
        case _:
            assert_never(command)


def evolve(state: FleetState, event: FleetEvent) -> FleetState:
    nodes = dict(state.nodes)
    capacities = dict(state.capacities)
    before = nodes.pop(event.node_id, None)
    if before is not None:
        capacities[before] -= 1
        if not capacities[before]:
            del capacities[before]
    match event:
        case FleetNodeAdded():
            kinds = None if event.kinds is None else frozenset(event.kinds)
            capacity = Capacity(event.cpu_milli, event.memory_mib, event.gpu_count, event.gpu_model, kinds)
            nodes[event.node_id] = capacity
            capacities[capacity] = capacities.get(capacity, 0) + 1
        case FleetNodeRemoved():
            pass
        case _:
            assert_never(event)
    return FleetState(nodes, capacities)


FLEET = Decider("fleet", get_args(FleetCommand), EMPTY, decide, evolve, snapshots=FORM)
