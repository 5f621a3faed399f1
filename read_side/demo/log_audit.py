"""Reads the whole log as the query API gives it: what happened how often, and whether any node was ever over its capacity."""

from collections import Counter
from dataclasses import dataclass, field

from pydantic import BaseModel, TypeAdapter

from read_side.demo.queries import WireEvent

GPU_MILLI_WHOLE = 1_000
JOB_ENDINGS = frozenset({"job.completed", "job.failed", "job.cancelled"})


class _Share(BaseModel):
    index: int
    milli: int


class _Room(BaseModel):
    """What is reserved, or with `gpu_count` what there is."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int = 0
    gpus: tuple[_Share, ...] = ()


_ROOM = TypeAdapter(_Room)


@dataclass(slots=True)
class _Ledger:
    """What a node has left, kept from its own events alone."""

    cpu_milli: int
    memory_mib: int
    gpus: list[int]
    held: dict[str, _Room] = field(default_factory=dict)

    def take(self, key: str, room: _Room) -> bool:
        """False if that is more than there was, or if the attempt had room already."""
        again = key in self.held
        self.held[key] = room
        self._move(room, -1)
        return not again and min(self.cpu_milli, self.memory_mib, *self.gpus, 0) >= 0

    def give_back(self, key: str) -> bool:
        """False if the attempt had no room."""
        room = self.held.pop(key, None)
        if room is not None:
            self._move(room, 1)
        return room is not None

    def _move(self, room: _Room, sign: int) -> None:
        self.cpu_milli += sign * room.cpu_milli
        self.memory_mib += sign * room.memory_mib
        for share in room.gpus:
            if share.index >= len(self.gpus):
                raise IndexError(f"a node has no GPU {share.index}")
            self.gpus[share.index] += sign * share.milli


@dataclass(slots=True)
class LogAudit:
    """What the log holds up to `head`.

    `versions` is the last version of each stream. `version_gaps` counts stream versions that are missing, twice or out of order;
    `over_capacity` the reservations that were more than a node had.
    """

    head: int = 0
    events: int = 0
    positions: set[int] = field(default_factory=set)
    version_gaps: int = 0
    over_capacity: int = 0
    unmatched_releases: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    started: set[str] = field(default_factory=set)
    nodes: dict[str, _Ledger] = field(default_factory=dict)

    def see(self, event: WireEvent) -> None:
        """Take the next event, in the order in which it came."""
        self.positions.add(event.position)
        self.head = max(self.head, event.position)
        self.events += 1
        self.types[event.type] += 1
        before = self.versions.get(event.subject, 0)
        self.version_gaps += event.streamversion != before + 1
        self.versions[event.subject] = event.streamversion
        if event.type.startswith("node."):
            self._see_node(event)
        elif event.type in JOB_ENDINGS:
            self.endings[event.entity_id] += 1
        elif event.type == "job.started":
            self.started.add(event.entity_id)

    def _see_node(self, event: WireEvent) -> None:
        key = f"{event.data.get('job_id')}/{event.data.get('attempt')}"
        if event.type == "node.registered":
            room = _ROOM.validate_python(event.data)
            self.nodes[event.entity_id] = _Ledger(room.cpu_milli, room.memory_mib, [GPU_MILLI_WHOLE] * room.gpu_count)
        elif event.type == "node.reserved":
            self.over_capacity += not self.nodes[event.entity_id].take(key, _ROOM.validate_python(event.data))
        elif event.type == "node.released":
            self.unmatched_releases += not self.nodes[event.entity_id].give_back(key)

    def count(self, category: str) -> int:
        """How many events there are in the streams of a category."""
        return sum(version for stream, version in self.versions.items() if stream.startswith(f"{category}-"))

    @property
    def reserved(self) -> int:
        """The reservations that nobody released."""
        return sum(len(node.held) for node in self.nodes.values())
