"""The command bus: validate, load, decide, append.

Guarantee: a command is answered after its events are on disk, or refused with nothing written. Cached state is never trusted alone: an
append checks the versions it was decided on, and a refusal is decided again on state that was just read. The same command id gives
the same answer once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from events.envelope import Origin
from infra.adapters.event_store import (
    Append,
    Appended,
    BasisLost,
    EventStore,
    NewEvent,
    StreamMoved,
    Write,
    came_true,
)
from infra.engines.command_batch import Batch
from infra.engines.command_request import Change, EventTooLarge, Outcome, Request, Submitted, fingerprint, load_for
from infra.engines.deciding import Deciding
from infra.engines.stream_cache import CachedStream, EventCodec, Key, StreamCache
from infra.errors import Rejection, VersionConflict
from infra.expressions.guard import WouldWait
from infra.ids import new_uuid7, utc_now
from infra.patterns.decider import Command, DeciderCatalog
from infra.settings import Settings


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
        self._encode = codec.encode
        self._event_bytes_max = settings.event_bytes_max
        self._settings = settings
        self._clock = clock
        self._streams = StreamCache(store, deciders, codec, settings.cached_streams_max)
        self._events_per_snapshot = settings.events_per_snapshot
        self._deciding = Deciding(deciders, self._streams)
        self.on_written: Callable[[Request, Appended], None] | None = None

    async def execute(
        self, command: Command, origin: Origin, *, expected_version: int | None = None, remember: bool = False
    ) -> Appended:
        """Carry out one command.

        With `expected_version` the command's stream must stand there. With `remember` the command id of `origin` is kept, and gives
        the same answer when it comes again. Raises a Rejection or a Fault.
        """
        request = Request(command, origin, self._deciders.of(type(command)), expected_version, remember)
        missing: list[str] = []
        outcome = self._begin_with_what_is_known(request, missing)
        if missing or request.waits:
            outcome = await self._begin(request)
        return await self._finish(request, outcome)

    async def execute_many(
        self, requests: Sequence[tuple[Command, Origin, bool]]
    ) -> list[Appended | Rejection | Exception]:
        """Carry out commands in order, each with `remember`; they are decided one after another and written together.

        A command that is refused is refused for good before the next one is looked at.
        """
        begun = [Request(c, origin, self._deciders.of(type(c)), None, remember) for c, origin, remember in requests]
        await load_for(begun, self._streams)
        batch = Batch(begun, self._finish, self._written)
        read_until = 0
        for number, request in enumerate(begun):
            try:
                outcome = await self._begin(request)
                if not isinstance(outcome, asyncio.Future) and number >= read_until:
                    read_until = number + self._settings.load_streams_max
                    await self._read_again(begun[number:read_until])
                    outcome = await self._begin(request)
                if not isinstance(outcome, asyncio.Future) and await batch.settled_before(request):
                    outcome = await self._begin(request)
                if isinstance(outcome, asyncio.Future):
                    batch.outcomes.append(outcome)
                else:
                    batch.outcomes.append(await self._finish(request, outcome))
            except Rejection as rejection:
                batch.outcomes.append(rejection.with_traceback(None))
            except Exception as refused:
                batch.outcomes.append(refused)
        return await batch.endings()

    def stream_of(self, command: Command) -> str:
        """The stream that a command is for."""
        return self._deciders.of(type(command)).stream_of(command)

    async def prefetch(self, commands: Sequence[tuple[str, Command]]) -> None:
        """Have at hand the streams of commands that will come soon, each with its tenant."""
        await self._streams.load_all([(tenant, self._deciders.of(type(c)).stream_of(c)) for tenant, c in commands])

    async def _read_again(self, requests: Sequence[Request]) -> None:
        """Read together what those are about that would be refused as of what is known: alone each would wait for the one before."""
        doubtful: set[Key] = set()
        for request in requests:
            with suppress(Exception):
                if self._deciding.decide(request, [])[0].events:
                    continue
            doubtful.update(request.stream_keys())
        await asyncio.gather(*(self._streams.refresh(key) for key in doubtful), return_exceptions=True)

    async def _begin(self, request: Request) -> Outcome:
        """Decide and queue, once every stream that the command touches is at hand."""
        tenant_id, recalled = request.origin.tenant_id, request.decider.recalls(request.command)
        if recalled is not None and request.recalled is None:
            request.recalled = await self._streams.history((tenant_id, recalled))
        if request.fresh:
            await asyncio.gather(*(self._streams.refresh((tenant_id, stream_id)) for stream_id in request.fresh))
        while True:
            missing: list[str] = []
            outcome = self._begin_with_what_is_known(request, missing)
            if request.waits:
                outcome = await self._begin_in_turn(request, missing)
            if not missing:
                return outcome
            await asyncio.gather(*(self._streams.load((tenant_id, stream_id)) for stream_id in missing))

    async def _begin_in_turn(self, request: Request, missing: list[str]) -> Outcome:
        """Decide what has to wait for something slow: beside the loop, one after another for each stream, until nothing moved meanwhile."""
        async with self._deciding.turn(request):
            for _ in range(self._settings.conflict_retries_max + 1):
                outcome = self._begin_with_what_is_known(request, missing)
                if not request.waits:
                    return outcome
                await self._deciding.think(request)
        raise VersionConflict("What this was decided on moved again and again; try again shortly.")

    def _begin_with_what_is_known(self, request: Request, missing: list[str]) -> Outcome:
        """Decide and queue; a Rejection or None (nothing to do) still has to be confirmed.

        Streams that are not at hand are named in `missing`; the outcome means nothing then, and also if the request `waits`.
        """
        outcome: Outcome = None
        request.waits = False
        try:
            changes = self._deciding.decide(request, missing)
            if missing:
                return None
            if changes[0].events:
                return self._submit(request, changes)
        except Rejection as rejection:
            outcome = rejection.with_traceback(
                None
            )  # its frames hold it: as a ring they would stay until somebody looks for rings
        except WouldWait:
            request.waits = True
            return None
        request.under_way = [c.stream.tail for c in request.looked_at if c.stream.tail is not None]
        return outcome

    async def _finish(self, request: Request, outcome: Outcome) -> Appended:
        """Follow a command to its answer: wait for the append, decide again on a conflict, confirm a refusal on fresh state."""
        retries_left = self._settings.conflict_retries_max
        while True:
            if isinstance(outcome, asyncio.Future):
                try:
                    answer = await outcome
                except StreamMoved as moved:
                    if moved.details.get("actual", moved.details["expected"]) < moved.details["expected"]:
                        self._forget(request)  # the log has gone back: what is known of the stream is not in it
                    else:
                        self._step_back(request)
                    named = request.expected_version is not None and moved.details["stream_id"] == request.streams()[0]
                    named = named and not isinstance(moved, BasisLost)
                    retries_left -= 1
                    if named or retries_left < 0:
                        raise
                except BaseException:
                    self._forget(request)
                    raise
                else:
                    if answer.repeated:
                        self._forget(request)
                    else:
                        self._written(request, outcome, answer)
                    return answer
            else:
                if request.fresh.issuperset(request.streams()):
                    known = await self._known(request)
                    if known is not None:
                        return known
                    if request.under_way:
                        await asyncio.wait(request.under_way)
                    if all(came_true(append) for append in request.under_way):
                        if outcome is not None or not request.remember or not type(request.command).public:
                            return await self._unchanged(request, outcome)
                        if self._nothing_to_do_now(request):
                            # That is an answer too: later there might be.
                            outcome = self._submit(request, request.looked_at)
                            continue
            request.fresh = request.fresh.union(request.streams())
            outcome = await self._begin(request)

    def _nothing_to_do_now(self, request: Request) -> bool:
        """Whether that is still so, as of the versions that will be checked."""
        missing: list[str] = []
        with suppress(Rejection, WouldWait):
            return not self._deciding.decide(request, missing)[0].events and not missing
        return False

    def _written(self, request: Request, submitted: Submitted, answer: Appended) -> None:
        for change in request.looked_at:
            if change.stream.tail is submitted:
                # Or it would be asked how it went whenever the stream is looked at.
                change.stream.tail = None
            if change.after is not None:
                self._streams.keep((request.origin.tenant_id, change.stream_id), change.decider, change.after)
        if self.on_written is not None:
            self.on_written(request, answer)

    async def state(self, tenant_id: str, stream_id: str, *, fresh: bool = False) -> Any:
        """What is known of a stream, or what the log has now if that is to be `fresh`; it may have moved on."""
        return (await self._streams.load((tenant_id, stream_id), fresh=fresh)).state

    def _forget(self, request: Request) -> None:
        self._streams.forget(request.origin.tenant_id, request.streams())

    def _step_back(self, request: Request) -> None:
        """Nothing was written: what was known before stays known, and only what came since has to be read."""
        for change in request.looked_at:
            if change.events:
                self._streams.step_back((request.origin.tenant_id, change.stream_id), change.stream, change.before)

    async def _known(self, request: Request) -> Appended | None:
        if not request.remember:
            return None
        origin = request.origin
        return await self._store.answer(origin.tenant_id, origin.command_id, fingerprint(request.command))

    async def _unchanged(self, request: Request, rejection: Rejection | None) -> Appended:
        """The end of a command that writes nothing."""
        if rejection is not None:
            raise rejection
        stream_id = request.decider.stream_of(request.command)
        stream = await self._streams.load((request.origin.tenant_id, stream_id))
        return Appended(stream_id, stream.version, await self._store.head(), ())

    def _submit(self, request: Request, changes: Sequence[Change]) -> Submitted:
        """Queue the append, and go on from the state after it."""
        origin = request.origin
        writes: list[Write] = []
        rests_on: list[Submitted] = []
        # Loops, since a comprehension costs more than what there mostly is: one event for one stream. And what a NamedTuple does
        # when it is called, without the call.
        new = tuple.__new__
        for change in changes:
            stream = change.stream
            events: list[NewEvent] = []
            for event in change.events:
                data = self._encode(event)
                if len(data) > self._event_bytes_max:
                    most = f"An event may be {self._event_bytes_max} bytes at most"
                    raise EventTooLarge(f"{most}; this one has {len(data)}.")
                events.append(new(NewEvent, (event.type, event.version, data, new_uuid7())))
            writes.append(new(Write, (change.stream_id, stream.version, events)))
            if stream.tail is not None:
                rests_on.append(stream.tail)
        remembered = (origin.command_id, fingerprint(request.command)) if request.remember else (None, b"")
        what = origin.tenant_id, writes, self._clock(), orjson.dumps(origin.metadata())
        submitted = self._store.submit(new(Append, (*what, *remembered, tuple(rests_on))))
        for change in changes:
            if change.events:
                stream = change.stream
                if stream.tail is None and stream.version:
                    change.before = stream.version, stream.state
                stream.state = change.decider.after(stream.state, change.events)
                stream.version += (added := len(change.events))
                stream.tail = submitted
                if change.decider.snapshots is not None and stream.version % self._events_per_snapshot < added:
                    change.after = CachedStream(stream.version, stream.state)
        return submitted
