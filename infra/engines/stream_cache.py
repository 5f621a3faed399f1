"""The streams that a process knows: their states, folded from the log or still on their way to it.

Guarantee: none by itself. A state may be old, since other processes write as well; whoever decides on it has the append check its
version. A state that was built on an append which failed is never given out again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog
from pydantic import ValidationError

from events.event import Event
from infra.adapters.event_store import Appended, EventStore, Snapshot
from infra.patterns.decider import Decider, DeciderCatalog

log = structlog.get_logger()

Key = tuple[str, str]


class EventCodec(Protocol):
    """What is needed of events/catalog.py here."""

    def encode(self, event: Event) -> bytes: ...

    def decode(self, type: str, schema_version: int, data: bytes | dict[str, Any]) -> Event: ...


@dataclass(slots=True)
class CachedStream:
    """A stream's state after `version`, which may still be on its way to the log (`tail`)."""

    version: int
    state: Any
    tail: "asyncio.Future[Appended] | None" = None

    @property
    def under_way(self) -> bool:
        return self.tail is not None and not self.tail.done()

    @property
    def failed(self) -> bool:
        """Whether the state holds events that did not get into the log."""
        tail = self.tail
        if tail is None or not tail.done():
            return False
        if tail.cancelled() or tail.exception() is not None or tail.result().repeated:
            return True
        self.tail = None
        return False


class StreamCache:
    """Bounded; by tenant and stream id."""

    def __init__(
        self,
        store: EventStore,
        deciders: DeciderCatalog,
        codec: EventCodec,
        streams_max: int,
    ) -> None:
        self._store = store
        self._deciders = deciders
        self._codec = codec
        self._streams_max = streams_max
        self._keeping: set[asyncio.Task[None]] = set()
        self._streams: OrderedDict[Key, CachedStream] = OrderedDict()

    def find(self, key: Key) -> CachedStream | None:
        """What is known of a stream, if anything."""
        stream = self._streams.get(key)
        if stream is None:
            return None
        if stream.tail is not None and stream.failed:
            del self._streams[key]
            return None
        self._streams.move_to_end(key)
        return stream

    def begin(self, key: Key, stream: CachedStream) -> CachedStream:
        """Know a stream from now on."""
        streams = self._streams
        streams[key] = stream
        if len(streams) > self._streams_max:
            eldest, unused = next(iter(streams.items()))
            if unused.under_way:
                streams.move_to_end(eldest)
            else:
                del streams[eldest]
        return stream

    def step_back(self, key: Key, stream: CachedStream, before: tuple[int, Any] | None) -> None:
        """Know of a stream only what was known before events that were refused, if that was all in the log."""
        if self._streams.get(key) is not stream:
            return
        if before is None:
            del self._streams[key]
        else:
            self._streams[key] = CachedStream(*before)

    def forget(self, tenant_id: str, stream_ids: Sequence[str]) -> None:
        for stream_id in stream_ids:
            self._streams.pop((tenant_id, stream_id), None)

    async def load(self, key: Key, *, fresh: bool = False) -> CachedStream:
        """What is known of a stream, else, or if it is to be `fresh`, what the log has."""
        if fresh:
            return await self.refresh(key)
        stream = self.find(key)
        return stream if stream is not None else await self._catch_up(key)

    async def load_all(self, keys: Iterable[Key]) -> None:
        """Have streams at hand, read together; what cannot be read fails the command that needs it."""
        missing = [key for key in keys if self.find(key) is None]
        await asyncio.gather(*(self.load(key) for key in missing), return_exceptions=True)

    async def refresh(self, key: Key) -> CachedStream:
        """What the log has now. What is under way here is waited for, but not what comes after it."""
        stream = self.find(key)
        if stream is not None and stream.tail is not None:
            await asyncio.wait([stream.tail])
        return await self._catch_up(key)

    async def _start(self, key: Key, decider: Decider) -> CachedStream:
        """Where to begin to fold a stream: at the state that was kept, if there is one that we can read."""
        form = decider.snapshots
        kept = None if form is None else await self._store.snapshot(*key)
        if form is None or kept is None or kept.form != form.number:
            return CachedStream(0, decider.initial)
        try:
            return CachedStream(kept.version, form.adapter.validate_json(kept.state))
        except ValidationError:
            log.warning("a snapshot cannot be read", stream=key[1])
            return CachedStream(0, decider.initial)

    def keep(self, key: Key, decider: Decider, stream: CachedStream) -> None:
        """Keep the state of a stream whose decider has a form for it, as soon as that can be done."""
        form = decider.snapshots
        assert form is not None
        snapshot = Snapshot(form.number, stream.version, form.adapter.dump_json(stream.state))
        self._keeping.add(asyncio.create_task(self._keep(key, snapshot)))

    async def _keep(self, key: Key, snapshot: Snapshot) -> None:
        try:
            await self._store.keep_snapshot(*key, snapshot)
        except Exception as broken:
            # It only saves time.
            log.warning("a snapshot was not kept", stream=key[1], cause=type(broken).__name__)
        finally:
            self._keeping.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def history(self, key: Key) -> list[Event]:
        """All events of a stream, from its first."""
        records = await self._store.load(*key, 0)
        return [self._codec.decode(record.type, record.schema_version, record.data) for record in records]

    async def _catch_up(self, key: Key) -> CachedStream:
        """Read what the log has beyond the known version; another task may do the same meanwhile."""
        tenant_id, stream_id = key
        while True:
            before = self.find(key)
            if before is not None and before.under_way:
                # Its append will tell whether anybody else has written.
                return before
            decider = self._deciders.of_stream(stream_id)
            start = await self._start(key, decider) if before is None else before
            version = start.version
            records = await self._store.load(tenant_id, stream_id, version)
            stream = self.find(key)
            if stream is not before or (stream is not None and stream.version != version):
                continue
            if stream is None:
                stream = self.begin(key, start)
            for record in records:
                event = self._codec.decode(record.type, record.schema_version, record.data)
                stream.state = decider.evolve(stream.state, event)
                stream.version = record.stream_version
            return stream
