"""The event store: what an append is, what comes back, and the contract that the Postgres and the in-memory store both keep.

Guarantee: positions are gapless and in commit order; an append is whole or absent; it is acknowledged after it is on disk.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from infra.errors import VersionConflict
from infra.ids import uuid_text


class NewEvent(NamedTuple):
    """An event to be appended: its 16-byte id, and its data as JSON text."""

    type: str
    schema_version: int
    data: bytes
    id: bytes


class Write(NamedTuple):
    """Events for one stream that must stand at version `expected` (0: must not exist). No events: the version is only checked."""

    stream_id: str
    expected: int
    events: Sequence[NewEvent]


class Append(NamedTuple):
    """What one command writes, all or nothing. The first write is the command's own stream.

    With a `command_id` the answer is remembered for ever, and a second append with that id changes nothing and gets it again;
    `fingerprint` tells a repeated command from another one under the same id. `after` are the appends that it was decided on and that
    may still be under way: it is written only if they were. A version does not tell, since others may have written as many events.
    """

    tenant_id: str
    writes: Sequence[Write]
    occurred_at: datetime
    metadata: bytes = b"{}"
    command_id: str | None = None
    fingerprint: bytes = b""
    after: "tuple[asyncio.Future[Appended], ...]" = ()


class Appended(NamedTuple):
    """The answer to an append. `version` is that of the command's own stream, `position` that of the last event.

    `ids` are those of the events, 16 bytes each, in log order; `repeated` says that the command id was known and nothing was written now.
    """

    stream_id: str
    version: int
    position: int
    ids: tuple[bytes, ...]
    repeated: bool = False

    @property
    def event_ids(self) -> tuple[str, ...]:
        return tuple(uuid_text(raw) for raw in self.ids)


class Snapshot(NamedTuple):
    """The state of a stream after a version, as JSON text; `form` tells in which shape it is."""

    form: int
    version: int
    state: bytes


@dataclass(slots=True)
class Record:
    """A stored event as it lies in the log: not yet decoded. `data` is JSON text, or the object if it came parsed.

    `document_bytes` is how long the document was that it was parsed from, 0 if it was not.
    """

    position: int
    id: str
    tenant_id: str
    stream_id: str
    stream_version: int
    type: str
    schema_version: int
    occurred_at: datetime
    metadata: bytes
    data: bytes | dict[str, Any]
    document_bytes: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """About how many bytes it takes as text."""
        return self.document_bytes or len(self.data)


class Records(list[Record]):
    """What a read gives; not `complete` if it was cut short because the events are large."""

    complete = True


class StreamMoved(VersionConflict):
    """The stream has moved on: read it again and repeat the command."""

    def __init__(self, stream_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"Stream {stream_id} is at version {actual}, not {expected}.",
            stream_id=stream_id,
            expected=expected,
            actual=actual,
        )


class BasisLost(StreamMoved):
    """What the command was decided on did not get into the log: decide again."""

    def __init__(self, append: Append) -> None:
        own = append.writes[0]
        VersionConflict.__init__(
            self,
            f"What version {own.expected} of stream {own.stream_id} rests on was not written.",
            stream_id=own.stream_id,
            expected=own.expected,
        )


def came_true(append: "asyncio.Future[Appended]") -> bool:
    """Whether an append that has ended got into the log, and with it the state that something was decided on."""
    return not append.cancelled() and append.exception() is None and not append.result().repeated


def has_lost_its_basis(append: Append) -> bool:
    """Whether an append that it was decided on has ended without being written."""
    # For every append: a generator would take longer than all it looks at.
    for each in append.after:  # noqa: SIM110
        if each.done() and not came_true(each):
            return True
    return False


class AppendRefused(Exception):
    """The log will never take what this append holds; nothing was recorded. A mistake of ours: what users may send is checked before."""


class EventStore(Protocol):
    """The log of one shard.

    `append` raises StreamMoved, CommandIdReused, AppendRefused, or a Fault: StoreUnavailable when nothing was written,
    OutcomeUnknown when that could not be learned. Reads give records in order of position (`read`) or version (`load`), and
    raise StoreUnavailable.
    """

    shard: int

    async def append(self, append: Append) -> Appended: ...

    def submit(self, append: Append) -> "asyncio.Future[Appended]":
        """Like `append`; appends are written in the order in which they are submitted."""
        ...

    async def load(self, tenant_id: str, stream_id: str, after: int = 0) -> list[Record]:
        """The events of a stream after a version; loads that wait at the same moment share one query."""
        ...

    async def read(
        self,
        after: int,
        limit: int,
        *,
        tenant_id: str | None = None,
        types: Sequence[str] | None = None,
        stream_id: str | None = None,
        until: int | None = None,
    ) -> Records:
        """Up to `limit` events after a position, in order, filtered; fewer, but at least one, if they are large."""
        ...

    async def head(self) -> int:
        """The position of the last event, 0 in an empty log."""
        ...

    async def first_position(self) -> int:
        """The position of the oldest event still kept; 1 unless partitions were dropped."""
        ...

    async def answer(self, tenant_id: str, command_id: str, fingerprint: bytes) -> Appended | None:
        """What a command id was answered, None if it is new. Raises CommandIdReused for another fingerprint."""
        ...

    async def snapshot(self, tenant_id: str, stream_id: str) -> Snapshot | None:
        """The newest state of a stream that was kept."""
        ...

    async def keep_snapshot(self, tenant_id: str, stream_id: str, snapshot: Snapshot) -> None:
        """Keep a state, unless a newer one is kept already."""
        ...

    async def close(self) -> None: ...


def event_ids(append: Append) -> tuple[bytes, ...]:
    """The ids of an append's events, in log order."""
    writes = append.writes
    if len(writes) == 1 and len(writes[0].events) == 1:
        return (writes[0].events[0].id,)
    return tuple([event.id for write in writes for event in write.events])


def records_of(append: Append, position: int) -> Iterator[Record]:
    """An append's events as they lie in the log, the first of them at a position."""
    occurred_at = append.occurred_at.astimezone(UTC)
    for stream_id, expected, events in append.writes:
        for version, (type_, schema_version, data, event_id) in enumerate(events, expected + 1):
            event = type_, schema_version, occurred_at, append.metadata, data
            yield Record(position, uuid_text(event_id), append.tenant_id, stream_id, version, *event)
            position += 1


def own_version(append: Append) -> int:
    """The version of the command's own stream after the append."""
    own = append.writes[0]
    return own.expected + len(own.events)
