"""What happens to the fleet, all nodes of a tenant together (stream `fleet-all`): it tells what could ever run."""

from events.event import Event, Id, Label
from events.node import CpuMilli, GpuCount, Kinds, MemoryMib


class FleetNodeAdded(Event):
    """When a node was registered, with its capacity and, unless it does every kind of job, the kinds that it does."""

    type = "fleet.node_added"

    node_id: Id
    cpu_milli: CpuMilli
    memory_mib: MemoryMib
    gpu_count: GpuCount = 0
    gpu_model: Label | None = None
    kinds: Kinds | None = None


class FleetNodeRemoved(Event):
    """When a node was retired."""

    type = "fleet.node_removed"

    node_id: Id


FleetEvent = FleetNodeAdded | FleetNodeRemoved
