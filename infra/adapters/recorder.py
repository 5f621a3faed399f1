"""The log as recorders of the `eventsourcing` library: its persistence vocabulary over the Postgres event store, for synchronous code.

Guarantee: that of the event store; calls from many threads share its group commit. The only module that imports the library.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

import orjson
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    JSONTranscoder,
    ListenNotifySubscription,
    Mapper,
    MapperDeserialisationError,
    Notification,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)

from events.envelope import Envelope, Origin
from events.event import Event
from infra.adapters.event_store import NewEvent, Record, StreamMoved
from infra.adapters.loop_thread import LoopThread
from infra.adapters.postgres_store import PostgresEventStore
from infra.adapters.recorder_streams import ForeignState, RecorderStreams, VersionedEvents
from infra.errors import Fault
from infra.ids import utc_now, uuid_bytes
from infra.settings import Settings

T = TypeVar("T")
OriginatorId = UUID | str

_POLL_S = 0.05


class EventCodec(Protocol):
    """What the mapper needs of events/catalog.py."""

    def encode(self, event: Event) -> bytes: ...

    def decode(self, type: str, schema_version: int, data: bytes | dict[str, Any]) -> Event: ...


@dataclass(frozen=True)
class OwnEvent(StoredEvent):
    """An event of ours: its stream is the originator, its type the topic, its data the state; the whole of it is `record`."""

    record: Record


@dataclass(frozen=True)
class OwnNotification(Notification):
    """An event of ours, its position as `id`."""

    record: Record


class EventMapper(Mapper[str]):
    """Our closed registry as the library's mapper: envelopes to stored events and back, older schema versions upcast."""

    def __init__(self, codec: EventCodec) -> None:
        super().__init__(JSONTranscoder())
        self._codec = codec

    def to_stored_event(self, domain_event: Envelope[Any]) -> OwnEvent:  # type: ignore[override]  # envelopes are our domain events
        envelope, data = domain_event, self._codec.encode(domain_event.event)
        record = Record(
            envelope.position,
            envelope.id,
            envelope.tenant_id,
            envelope.stream_id,
            envelope.stream_version,
            envelope.type,
            envelope.schema_version,
            envelope.occurred_at,
            envelope.metadata,
            data,
        )
        return OwnEvent(envelope.stream_id, envelope.stream_version, envelope.type, data, record)

    def to_domain_event(self, stored_event: StoredEvent) -> Envelope[Any]:  # type: ignore[override]  # as above
        """Raises MapperDeserialisationError for what is not ours or cannot be decoded."""
        if not isinstance(stored_event, OwnEvent | OwnNotification):
            raise MapperDeserialisationError(f"{stored_event.topic} of {stored_event.originator_id} is not ours")
        record = stored_event.record
        try:
            event = self._codec.decode(record.type, record.schema_version, record.data)
        except Exception as cause:
            raise MapperDeserialisationError(f"{record.type} of {record.stream_id}: {cause}") from cause
        return Envelope(
            record.position,
            record.id,
            record.tenant_id,
            record.stream_id,
            record.stream_version,
            record.occurred_at,
            event,
            record.metadata,
        )


class AggregateLogRecorder(AggregateRecorder):
    """Streams `<application name>-<originator id>`, or the originator ids themselves where there is no application name.

    The versions of an originator follow on from its first, which is usually 0 or 1. State that is not ours may be any bytes: it
    is stored as JSON `{"state": base64, "version", "originator": "uuid" | "str"}`, with the topic as the type.
    """

    def __init__(
        self, database_url: str, settings: Settings, application_name: str | None = None, tenant_id: str = "default"
    ) -> None:
        if application_name is not None and (not application_name or "-" in application_name):
            raise ProgrammingError("the name of an application is its stream category: it must not contain '-'")
        self._prefix = "" if application_name is None else f"{application_name}-"
        self._tenant_id = tenant_id
        self._thread = LoopThread("recorder")
        self._store: PostgresEventStore = self._call(PostgresEventStore.open(database_url, settings))
        self._streams = RecorderStreams(self._store, tenant_id)

    def close(self) -> None:
        self._thread.close(self._store.close())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the loop; what goes wrong has the library's names."""
        try:
            return self._thread.call(work)
        except StreamMoved as moved:
            raise IntegrityError(str(moved)) from moved
        except Fault as fault:
            raise OperationalError(str(fault)) from fault

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """All or nothing. Raises IntegrityError where a version is taken or would leave a gap."""
        self._insert(stored_events)
        return None

    def select_events(
        self,
        originator_id: OriginatorId,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        records = self._call(self._streams.load(f"{self._prefix}{originator_id}", gt))
        wanted = [
            stored
            for stored in map(self._stored, records)
            if (gt is None or stored.originator_version > gt) and (lte is None or stored.originator_version <= lte)
        ]
        return (wanted[::-1] if desc else wanted)[:limit]

    def _insert(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        """Append; gives the position of each event."""
        if not stored_events:
            return []
        groups: dict[str, list[StoredEvent]] = {}
        for stored in stored_events:
            groups.setdefault(f"{self._prefix}{stored.originator_id}", []).append(stored)
        new: dict[str, VersionedEvents] = {}
        for stream_id, group in groups.items():
            version = group[0].originator_version
            if any(stored.originator_version != version + number for number, stored in enumerate(group)):
                raise IntegrityError(f"the versions of {group[0].originator_id} do not follow on from one another")
            new[stream_id] = VersionedEvents(version, [_new_event(stored) for stored in group])
        last = self._call(self._streams.append(new, *self._when_and_why(stored_events)))
        # The log has the events stream by stream; the caller wants their places in the order given.
        in_log = [id(stored) for group in groups.values() for stored in group]
        place = {each: last - len(in_log) + 1 + number for number, each in enumerate(in_log)}
        return [place[id(stored)] for stored in stored_events]

    def _when_and_why(self, stored_events: Sequence[StoredEvent]) -> tuple[datetime, bytes]:
        """The time and the metadata that the events of one append share."""
        own = [stored.record for stored in stored_events if isinstance(stored, OwnEvent | OwnNotification)]
        if not own:
            origin = Origin(self._tenant_id, "eventsourcing", *[str(uuid4())] * 3)
            return utc_now(), orjson.dumps(origin.metadata())
        shared = {(record.tenant_id, record.occurred_at, record.metadata) for record in own}
        if len(own) != len(stored_events) or len(shared) != 1 or own[0].tenant_id != self._tenant_id:
            raise ProgrammingError("events recorded together have one time, one origin and the recorder's tenant")
        return own[0].occurred_at, own[0].metadata

    def _stored(self, record: Record) -> StoredEvent:
        foreign = ForeignState.of(record)
        originator_id: OriginatorId = record.stream_id.removeprefix(self._prefix)
        if foreign is None:
            assert isinstance(record.data, bytes)
            return OwnEvent(originator_id, record.stream_version, record.type, record.data, record)
        if foreign.kind == "uuid" and record.stream_id.startswith(self._prefix):
            originator_id = UUID(str(originator_id))
        return StoredEvent(originator_id, foreign.version, record.type, foreign.state)


class LogRecorder(AggregateLogRecorder, ApplicationRecorder):
    """The log of a tenant as an application sequence: a notification's id is its position, whoever wrote the event."""

    def __init__(
        self, database_url: str, settings: Settings, application_name: str | None = None, tenant_id: str = "default"
    ) -> None:
        super().__init__(database_url, settings, application_name, tenant_id)
        self._listeners: set[threading.Event] = set()
        self._store.on_append = lambda *_: self._tell()
        self._thread.spawn(self._watch())

    def close(self) -> None:
        """Subscriptions end with an OperationalError."""
        super().close()
        self._tell()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        return self._insert(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else max(0, start - 1 if inclusive_of_start else start)
        found, complete = list[Record](), False
        # The library takes fewer than it asked for as the end of the log.
        while len(found) < limit and not complete:
            left = limit - len(found)
            part = self._call(
                self._store.read(after, left, tenant_id=self._tenant_id, types=topics or None, until=stop)
            )
            found.extend(part)
            complete, after = part.complete, part[-1].position if part else after
        return [_notification(record.position, self._stored(record)) for record in found]

    def max_notification_id(self) -> int | None:
        """The end of the shard's log, None while it is empty."""
        return self._call(self._store.head()) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "LogSubscription":
        return LogSubscription(self, gt, topics)

    def listen(self, wake: threading.Event) -> None:
        self._listeners.add(wake)
        wake.set()

    def unlisten(self, wake: threading.Event) -> None:
        self._listeners.discard(wake)

    def _tell(self) -> None:
        for wake in tuple(self._listeners):
            wake.set()

    async def _watch(self) -> None:
        """Wake subscriptions for what other processes append; this one's own appends do so at once."""
        told = 0
        while True:
            await asyncio.sleep(_POLL_S)
            if self._listeners:
                with contextlib.suppress(Fault):
                    head = await self._store.head()
                    if head != told:
                        told = head
                        self._tell()


class LogSubscription(ListenNotifySubscription[LogRecorder]):
    """Notifications as they come, for ever."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        recorder.listen(self._has_been_notified)

    def stop(self) -> None:
        super().stop()
        self._recorder.unlisten(self._has_been_notified)


def _new_event(stored: StoredEvent) -> NewEvent:
    """With a random id where there is none: our own are not made in many threads."""
    if isinstance(stored, OwnEvent | OwnNotification):
        return NewEvent(stored.topic, stored.record.schema_version, stored.state, uuid_bytes(stored.record.id))
    kind = "uuid" if isinstance(stored.originator_id, UUID) else "str"
    return NewEvent(
        stored.topic, 1, ForeignState(stored.state, stored.originator_version, kind).to_json(), uuid4().bytes
    )


def _notification(position: int, stored: StoredEvent) -> Notification:
    plain = (stored.originator_id, stored.originator_version, stored.topic, stored.state, position)
    return OwnNotification(*plain, stored.record) if isinstance(stored, OwnEvent) else Notification(*plain)
