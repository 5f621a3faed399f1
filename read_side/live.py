"""The live feed: one reader follows the end of the log for all who listen, and keeps the newest events in a bounded memory.

Guarantee: every listener gets the events after its position that it wants, each once and in order. One that is behind, from the start or
because it is slow, reads from Postgres until it has caught up with what is kept; nobody's slowness costs memory. While nobody listens
nothing is read.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from infra.adapters.cloud_event import encode
from infra.adapters.event_store import EventStore, Record
from infra.errors import Fault, Overloaded, StoreUnavailable
from infra.settings import Settings
from read_side.queries import PositionNotReached

log = structlog.get_logger()

KEEP_ALIVE_S = 15.0
READ_EVENTS_MAX = 200
LOOK_EVENTS_MAX = 1_000
BATCH_BYTES_MAX = 262_144
SCAN_POSITIONS_MAX = 50_000
TROUBLE_PAUSE_S = 0.5
_ENTRY_BYTES = 600


class TooManyListeners(Overloaded):
    """As many clients follow the log here as this process serves; try again, or ask for pages of `/v1/events`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a listener wants: those of one tenant, of any of these types, of one stream; None: of all."""

    tenant_id: str
    types: frozenset[str] | None = None
    stream_id: str | None = None

    def has(self, record: Record) -> bool:
        return (
            record.tenant_id == self.tenant_id
            and (self.types is None or record.type in self.types)
            and (self.stream_id is None or record.stream_id == self.stream_id)
        )


class Told(NamedTuple):
    """An event as a listener gets it; `document` is its CloudEvent."""

    position: int
    type: str
    document: bytes


class Batch(NamedTuple):
    """What came next, perhaps nothing; the listener has seen the log up to `position`."""

    events: Sequence[Told]
    position: int


class _Kept:
    """An event in memory, encoded once when the first listener wants it."""

    __slots__ = ("_told", "record", "size")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.size = _size(record)
        self._told: Told | None = None

    def told(self, shard: int) -> Told:
        if self._told is None:
            self._told = tell(self.record, shard)
        return self._told


def tell(record: Record, shard: int) -> Told:
    """The event as listeners get it, on one line."""
    document = encode(record, shard)
    if b"\n" in document or b"\r" in document:
        document = document.replace(b"\r", b" ").replace(
            b"\n", b" "
        )  # blanks between tokens: in strings they are escaped
    return Told(record.position, record.type, document)


def _size(record: Record) -> int:
    """About what keeping it takes: as it was read, and encoded."""
    return _ENTRY_BYTES + 2 * (len(record.data) + len(record.metadata))


class Live:
    """One per process. `run` it as a task; `woken` is set by whoever knows of new events, else the log is polled.

    `waking` is entered while anyone listens: outside nobody needs to be woken.
    """

    def __init__(
        self,
        store: EventStore,
        woken: asyncio.Event,
        settings: Settings,
        waking: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._store = store
        self._woken = woken
        self._waking = waking
        self._settings = settings
        self._kept: list[_Kept] = []
        self._kept_bytes = 0
        self._first = 1
        self._position = 0
        self._someone = asyncio.Event()
        self._begun = asyncio.Event()
        self._grown = asyncio.Event()
        self.listeners = 0

    async def run(self) -> None:
        """Follow the end of the log whenever anyone listens, for ever."""
        while True:
            await self._someone.wait()
            try:
                await self._follow_log()
            except Fault as fault:
                log.warning("log is away", code=fault.code)
                await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _follow_log(self) -> None:
        """Until nobody listens. What is kept stays good across a fault: the reader goes on where it was."""
        if not self._begun.is_set():
            self._position = await self._store.head()
            self._first = self._position + 1
            self._begun.set()
        async with self._waking():
            while self.listeners:
                self._woken.clear()
                records = await self._store.read(self._position, READ_EVENTS_MAX)
                if records:
                    self._keep(records)
                if len(records) < READ_EVENTS_MAX and records.complete:
                    await _event_within(self._woken, self._settings.relay_poll_s_max)
        if self.listeners:
            # They came while the waking was left, and count on what has begun: it goes on.
            return
        self._someone.clear()
        self._begun.clear()
        self._kept, self._kept_bytes = [], 0

    def _keep(self, records: Sequence[Record]) -> None:
        kept = [_Kept(record) for record in records]
        self._kept.extend(kept)
        self._kept_bytes += sum(each.size for each in kept)
        self._position = records[-1].position
        surplus = max(0, len(self._kept) - self._settings.live_buffer_events_max)
        excess = (
            self._kept_bytes - self._settings.live_buffer_bytes_max - sum(each.size for each in self._kept[:surplus])
        )
        while excess > 0:
            excess -= self._kept[surplus].size
            surplus += 1
        if surplus:
            self._kept_bytes -= sum(each.size for each in self._kept[:surplus])
            del self._kept[:surplus]
            self._first += surplus
        self._grown.set()
        self._grown = asyncio.Event()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        if self.listeners >= self._settings.live_clients_max:
            raise TooManyListeners
        self.listeners += 1
        self._someone.set()
        try:
            yield
        finally:
            self.listeners -= 1

    async def follow(self, after: int | None, wanted: Wanted) -> AsyncGenerator[Batch, None]:
        """Yields what comes after a position (None: after the end of the log), first an empty batch once it has begun.

        An empty batch also comes when nothing was wanted for KEEP_ALIVE_S. Raises TooManyListeners, StoreUnavailable and
        PositionNotReached: whoever had an event that this log has not had another log, and would miss what comes until then.
        """
        with self._listening():
            if not await _event_within(self._begun, self._settings.store_retry_s_max):
                raise StoreUnavailable("The event store cannot be reached.")
            head = await self._store.head()
            position = head if after is None else after
            if position > head:
                raise PositionNotReached(f"The log is at position {head}, not at {position} yet.", position=head)
            yield Batch((), position)
            clock = asyncio.get_running_loop().time
            silent_since = clock()
            while True:
                batch = await self._next(position, wanted)
                position = batch.position
                if batch.events or clock() - silent_since >= KEEP_ALIVE_S:
                    silent_since = clock()
                    yield batch

    async def _next(self, position: int, wanted: Wanted) -> Batch:
        """From Postgres what is older than what is kept, else from what is kept; waits a while if there is nothing newer."""
        if position + 1 < self._first:
            return await self._from_log(position, wanted)
        if position >= self._position:
            await _event_within(self._grown, KEEP_ALIVE_S)
            return Batch((), position)
        batch = self._from_memory(position, wanted)
        if not batch.events:
            await asyncio.sleep(0)
        return batch

    async def _from_log(self, position: int, wanted: Wanted) -> Batch:
        until = self._first - 1
        if wanted.stream_id is None:
            until = min(until, position + SCAN_POSITIONS_MAX)
        records = await self._store.read(
            position,
            READ_EVENTS_MAX,
            tenant_id=wanted.tenant_id,
            types=None if wanted.types is None else sorted(wanted.types),
            stream_id=wanted.stream_id,
            until=until,
        )
        complete = len(records) < READ_EVENTS_MAX and records.complete
        seen = until if complete else records[-1].position
        return Batch([tell(record, self._store.shard) for record in records], seen)

    def _from_memory(self, position: int, wanted: Wanted) -> Batch:
        start, size = position + 1 - self._first, 0
        told: list[Told] = []
        for kept in self._kept[start : start + LOOK_EVENTS_MAX]:
            position = kept.record.position
            if wanted.has(kept.record):
                told.append(kept.told(self._store.shard))
                size += kept.size
                if size > BATCH_BYTES_MAX:
                    break
        return Batch(told, position)


async def _event_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event for a bounded time; whether it came."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
