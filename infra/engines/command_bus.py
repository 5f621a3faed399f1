"""The command bus: validate, load, decide, append.

Guarantee: a command is answered after its events are on disk, or refused with nothing written. Cached state is never trusted alone: an
append checks the versions it was decided on, and a refusal is decided again on state that was just read. The same command id gives
the same answer once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from events.envelope import Origin
from events.event import Event
from infra.adapters.event_store import Append, Appended, EventStore, NewEvent, StreamMoved, Write
from infra.engines.stream_cache import CachedStream, EventCodec, StreamCache
from infra.errors import Invalid, Rejection, VersionConflict
from infra.ids import new_uuid7, utc_now
from infra.patterns.decider import Command, Decider, DeciderCatalog
from infra.settings import Settings


class EventTooLarge(Invalid):
    """An event of this command would be larger than the log accepts."""

    status = 413


@dataclass(slots=True)
class _Request:
    """A command on its way. `fresh`: decide on what the log says now. `under_way`: appends that it was decided on."""

    command: Command
    origin: Origin
    decider: Decider
    expected_version: int | None
    remember: bool
    fresh: bool = False
    under_way: list["asyncio.Future[Appended]"] = field(default_factory=list)
    looked_at: set[str] = field(default_factory=set)


class _Submitted(NamedTuple):
    """Decided and queued; the streams it was decided on."""

    future: "asyncio.Future[Appended]"
    streams: list[str]


@dataclass(slots=True)
class _Change:
    """What a decision wants to write to one stream; no events: that stream was only looked at."""

    stream_id: str
    decider: Decider
    stream: CachedStream
    events: Sequence[Event] = ()


_NO_OTHERS: dict[str, Any] = {}
_Outcome = _Submitted | Rejection | None


async def _came_true(under_way: Sequence["asyncio.Future[Appended]"]) -> bool:
    """Whether all of these appends got into the log, and with them the state that something was decided on."""
    if under_way:
        await asyncio.wait(under_way)
    return all(append.exception() is None and not append.result().repeated for append in under_way)


def fingerprint(command: Command) -> bytes:
    """Tells a repeated command from another under the same id: 16 bytes over its name and the fields its sender gave."""
    given = command.model_dump_json(exclude_unset=True)
    return blake2b(f"{type(command).__name__}:{given}".encode(), digest_size=16).digest()


class CommandBus:
    """One per process."""

    def __init__(
        self,
        store: EventStore,
        deciders: DeciderCatalog,
        codec: EventCodec,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._deciders = deciders
        self._codec = codec
        self._settings = settings
        self._clock = clock
        self._streams = StreamCache(store, deciders, codec, settings.cached_streams_max)

    async def execute(
        self, command: Command, origin: Origin, *, expected_version: int | None = None, remember: bool = False
    ) -> Appended:
        """Carry out one command.

        With `expected_version` the command's stream must stand there. With `remember` the command id of `origin` is kept, and gives
        the same answer when it comes again. Raises a Rejection or a Fault.
        """
        request = _Request(command, origin, self._deciders.of(type(command)), expected_version, remember)
        return await self._finish(request, await self._begin(request))

    async def execute_many(
        self, requests: Sequence[tuple[Command, Origin, bool]]
    ) -> list[Appended | Rejection | Exception]:
        """Carry out commands in order, each with `remember`; they are decided one after another and written together.

        A command that is refused is refused for good before the next one is looked at.
        """
        begun = [
            _Request(command, origin, self._deciders.of(type(command)), None, remember)
            for command, origin, remember in requests
        ]
        await self._prefetch(begun)
        endings = []
        for request in begun:
            outcome: _Outcome | Exception
            try:
                outcome = await self._begin(request)
            except Exception as fault:
                outcome = fault
            ending = asyncio.ensure_future(self._finish(request, outcome))
            if not isinstance(outcome, _Submitted):
                await asyncio.wait([ending])
            endings.append(ending)
        results = await asyncio.gather(*endings, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result
        return [result for result in results if not isinstance(result, BaseException) or isinstance(result, Exception)]

    async def _prefetch(self, requests: Sequence[_Request]) -> None:
        """Load what the commands are about in one query instead of one after another."""
        wanted: dict[tuple[str, str], None] = {}
        for request in requests:
            streams = [*request.decider.consults(request.command)]
            if not request.command.creates:
                streams.append(request.decider.stream_of(request.command))
            tenant_id = request.origin.tenant_id
            wanted.update(((tenant_id, stream), None) for stream in streams)
        missing = [key for key in wanted if self._streams.find(key) is None]
        if len(missing) > 1:
            # What cannot be read fails its own command later.
            await asyncio.gather(*(self._streams.load(key) for key in missing), return_exceptions=True)

    async def _begin(self, request: _Request) -> _Outcome:
        """Decide and queue; a Rejection or None (nothing to do) still has to be confirmed."""
        try:
            changes = await self._decide(request)
            if not any(change.events for change in changes):
                return None
            return self._submit(request, changes)
        except Rejection as rejection:
            return rejection

    async def _finish(self, request: _Request, outcome: _Outcome | Exception) -> Appended:
        """Follow a command to its answer: wait for the append, decide again on a conflict, confirm a refusal on fresh state."""
        retries_left = self._settings.conflict_retries_max
        while True:
            if isinstance(outcome, _Submitted):
                try:
                    answer = await outcome.future
                except StreamMoved as moved:
                    self._streams.forget(request.origin.tenant_id, outcome.streams)
                    named = request.expected_version is not None and moved.details["stream_id"] == outcome.streams[0]
                    retries_left -= 1
                    if named or retries_left < 0:
                        raise
                    request.fresh = True
                except BaseException:
                    self._streams.forget(request.origin.tenant_id, outcome.streams)
                    raise
                else:
                    if answer.repeated:
                        self._streams.forget(request.origin.tenant_id, outcome.streams)
                    return answer
            elif outcome is None or isinstance(outcome, Rejection):
                known = await self._known(request)
                if known is not None:
                    return known
                if request.fresh and await _came_true(request.under_way):
                    return await self._unchanged(request, outcome)
                request.fresh = True
            else:
                raise outcome
            outcome = await self._begin(request)

    async def _known(self, request: _Request) -> Appended | None:
        if not request.remember:
            return None
        origin = request.origin
        return await self._store.answer(origin.tenant_id, origin.command_id, fingerprint(request.command))

    async def _unchanged(self, request: _Request, rejection: Rejection | None) -> Appended:
        """The end of a command that writes nothing."""
        if rejection is not None:
            raise rejection
        stream_id = request.decider.stream_of(request.command)
        stream = await self._streams.load((request.origin.tenant_id, stream_id))
        return Appended(stream_id, stream.version, await self._store.head(), ())

    async def _decide(self, request: _Request) -> list[_Change]:
        """The changes a command asks for, once every stream that it touches is at hand."""
        tenant_id = request.origin.tenant_id
        if request.fresh:
            request.looked_at.add(request.decider.stream_of(request.command))
            await asyncio.gather(*(self._streams.refresh((tenant_id, stream_id)) for stream_id in request.looked_at))
        while True:
            missing: list[str] = []
            changes = self._decide_now(request, missing)
            if not missing:
                return changes
            await asyncio.gather(*(self._streams.load((tenant_id, stream_id)) for stream_id in missing))

    def _decide_now(self, request: _Request, missing: list[str]) -> list[_Change]:
        """Decide without a pause, so that all states belong together: the own stream first, companions, then consulted streams.

        Streams that are not at hand are named in `missing`; the changes mean nothing then.
        """
        command, decider = request.command, request.decider
        request.under_way = []
        consulted = [self._look(request, stream_id, missing) for stream_id in decider.consults(command)]
        own = self._look(request, decider.stream_of(command), missing, creates=command.creates)
        if missing:
            return []
        expected = request.expected_version
        if expected is not None and own.stream.version != expected:
            actual = own.stream.version
            message = f"Stream {own.stream_id} is at version {actual}, not {expected}."
            raise VersionConflict(message, stream_id=own.stream_id, expected=expected, actual=actual)
        others = {c.stream_id: c.stream.state for c in consulted} if consulted else _NO_OTHERS
        own.events = decider.decide_all(command, own.stream.state, others)
        changes = [own]
        for companion in decider.companions(command, own.stream.state) if own.events else ():
            other = self._deciders.of(type(companion))
            beside = self._look(request, other.stream_of(companion), missing)
            if not missing:
                beside.events = other.decide_all(companion, beside.stream.state, {})
                changes.append(beside)
        return changes + consulted

    def _look(self, request: _Request, stream_id: str, missing: list[str], *, creates: bool = False) -> _Change:
        key = (request.origin.tenant_id, stream_id)
        decider = self._deciders.of_stream(stream_id)
        stream = self._streams.find(key)
        if stream is None:
            stream = CachedStream(0, decider.initial)
            if creates and not request.fresh:
                # Most likely new: the append will tell if it is not.
                self._streams.begin(key, stream)
            else:
                missing.append(stream_id)
        elif stream.tail is not None and not stream.tail.done():
            request.under_way.append(stream.tail)
        if len(request.looked_at) < self._settings.load_streams_max:
            request.looked_at.add(stream_id)
        return _Change(stream_id, decider, stream)

    def _submit(self, request: _Request, changes: list[_Change]) -> _Submitted:
        """Queue the append, and go on from the state after it."""
        writes = [Write(c.stream_id, c.stream.version, [self._new_event(e) for e in c.events]) for c in changes]
        origin = request.origin
        append = Append(
            origin.tenant_id,
            writes,
            self._clock(),
            origin.to_json(),
            origin.command_id if request.remember else None,
            fingerprint(request.command) if request.remember else b"",
        )
        future = asyncio.ensure_future(self._store.submit(append))
        for change in changes:
            stream = change.stream
            for event in change.events:
                stream.state = change.decider.evolve(stream.state, event)
            if change.events:
                stream.version += len(change.events)
                stream.tail = future
        return _Submitted(future, [change.stream_id for change in changes])

    def _new_event(self, event: Event) -> NewEvent:
        data = self._codec.encode(event)
        if len(data) > self._settings.event_bytes_max:
            raise EventTooLarge(
                f"An event may be {self._settings.event_bytes_max} bytes at most; this one has {len(data)}."
            )
        return NewEvent(event.type, event.version, data, new_uuid7())
