"""Plans one group commit: which waiting appends can go together, and who survives when the log refuses some of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from infra.adapters.event_store import Append, BasisLost, StreamMoved, Write

StreamKey = tuple[str, str]
CommandKey = tuple[str, str]


@dataclass(slots=True)
class Plan:
    """Appends that go in one call, each stream with the version it must have before and after all of them."""

    appends: list[Append] = field(default_factory=list)
    before: dict[StreamKey, int] = field(default_factory=dict)
    after: dict[StreamKey, int] = field(default_factory=dict)
    commands: set[CommandKey] = field(default_factory=set)
    events: int = 0
    bytes: int = 0

    def admit(self, append: Append) -> bool:
        """Take an append if it follows on from those already taken; otherwise it has to wait for the next call."""
        tenant, writes, _, _, command_id, _, _ = append
        after = self.after
        for stream_id, expected, _ in writes:
            if after.get((tenant, stream_id), expected) != expected:
                return False
        if command_id is not None:
            command = (tenant, command_id)
            if command in self.commands:
                return False
            self.commands.add(command)
        for stream_id, expected, events in writes:
            key = (tenant, stream_id)
            self.before.setdefault(key, expected)
            after[key] = expected + len(events)
            self.events += len(events)
            for _, _, data, _ in events:
                self.bytes += len(data)
        self.appends.append(append)
        return True


def survivors(
    plan: Plan,
    actual: Mapping[StreamKey, int],
    repeated: Iterable[CommandKey],
    bases: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> tuple[list[Append], list[tuple[Append, StreamMoved]], list[Append]]:
    """Split a refused plan into those that can still go, those that conflict (with the reason) and those already answered.

    `actual` are the versions of the streams that had moved, `repeated` the command ids that were known. `bases` tells, by `id()`, which
    others of the plan an append was decided on: it conflicts if one of them is not written now.
    """
    versions = {**plan.before, **actual}
    known = set(repeated)
    going: list[Append] = []
    conflicts: list[tuple[Append, StreamMoved]] = []
    answered: list[Append] = []
    lost: set[int] = set()
    for append in plan.appends:
        if append.command_id is not None and (append.tenant_id, append.command_id) in known:
            answered.append(append)
            lost.add(id(append))
            continue
        moved = (
            BasisLost(append) if not lost.isdisjoint(bases.get(id(append), ())) else first_conflict(append, versions)
        )
        if moved is not None:
            conflicts.append((append, moved))
            lost.add(id(append))
            continue
        for write in append.writes:
            versions[append.tenant_id, write.stream_id] = write.expected + len(write.events)
        going.append(append)
    return going, conflicts, answered


def first_conflict(append: Append, versions: Mapping[StreamKey, int]) -> StreamMoved | None:
    """The first stream that is not where the append expects it, as the error to raise."""
    for write in append.writes:
        version = versions.get((append.tenant_id, write.stream_id), 0)
        if version != write.expected:
            return StreamMoved(write.stream_id, write.expected, version)
    return None


def with_each_stream_once(append: Append) -> Append:
    """An append in which no stream stands twice: a check beside a write of the same version is the same thing said again.

    Raises ValueError where that would change its meaning, since versions would be given twice.
    """
    if not append.writes:
        raise ValueError("an append needs a stream")
    once: dict[str, Write] = {}
    for write in append.writes:
        before = once.setdefault(write.stream_id, write)
        if before is write:
            continue
        if before.expected != write.expected or (before.events and write.events):
            raise ValueError(f"stream {write.stream_id} stands twice in an append")
        if write.events:
            once[write.stream_id] = write
    return append if len(once) == len(append.writes) else append._replace(writes=tuple(once.values()))
