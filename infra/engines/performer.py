"""The performer: carries out activities, each until its command is acknowledged, and sends what follows from an event at once.

Guarantee: an activity is carried out at least once, and its command takes effect once, since the decider sees whether it is still wanted.
What was begun is kept with the checkpoint, unless it is over by then, so that another performer goes on with it. What this process itself
has written is acted on before the log brings it round: then the log only confirms it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import structlog

from events.envelope import Envelope, Origin
from infra.adapters import kept_activities
from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import Appended, EventStore, Record
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.engines.command_request import Request
from infra.engines.poison import Poison
from infra.engines.projector import Decoder, to_envelope
from infra.engines.standstill import Standstill, StoodStill
from infra.errors import Fault, Rejection, VersionConflict
from infra.faults import crash_point
from infra.ids import utc_now, uuid_text
from infra.patterns.activity import Activity, Doing, IfAlone, Over, Performance
from infra.patterns.decider import Command
from infra.patterns.saga import Ask
from infra.settings import Settings

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]
Key = tuple[str, str]
Send = Callable[[Command], Awaitable[Rejection | None]]
"""Sends a command of an activity that goes on after it, until that is answered."""
Perform = Callable[[str, str, Activity, Send, StoodStill], Awaitable[Command | Ask | IfAlone | None]]
"""Does an activity of a tenant's stream and gives the command that says how it ended, with what is sent if that is refused, if it is
an Ask; None if it is not wanted any more. What it knew of that is out of date where the process stood still since."""

Seen = Over | tuple[Activity, Origin] | asyncio.Task[Rejection | None]
"""What was done about an event: an activity that is over or was begun, or a command that is being sent."""

AGAIN_S_MIN, AGAIN_S_MAX = 0.05, 2.0
_AWAY = (Fault, psycopg.Error, OSError)
SEEN_MAX = 200_000
"""Events that were acted on before the log brought them; beyond that the log is waited for."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _pauses_s() -> Iterator[float]:
    pause_s = AGAIN_S_MIN
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, AGAIN_S_MAX)


class Performer:
    """A consumer's handler. Hears of what the bus of its own process writes by `written`."""

    kind = "saga"
    follows = True

    def __init__(
        self,
        performance: Performance,
        perform: Perform,
        store: EventStore,
        bus: CommandBus,
        decoder: Decoder,
        settings: Settings,
    ) -> None:
        self.name = performance.name
        self.version = performance.version
        self.types = frozenset(event.type for event in performance.handles)
        self._performance = performance
        self._perform = perform
        self._store = store
        self._bus = bus
        self._decoder = decoder
        self._slots = asyncio.Semaphore(settings.activities_in_flight_max)
        self._active = False
        self._began_at = utc_now()
        self._standstill = Standstill()
        self._reached = 0
        self._seen: dict[str, Sequence[Seen]] = {}
        self._under_way: dict[Key, asyncio.Task[None]] = {}
        self._answered: set[Key] = set()
        self._begun: dict[Key, tuple[str, Origin]] = {}
        self._kept: set[Key] = set()
        self._over: set[Key] = set()
        bus.on_written = self.written

    async def begin(self, connection: Connection, position: int) -> None:
        """Go on with what is kept; its decider tells whether it is still wanted."""
        await self.end()
        rows = await (await connection.execute(kept_activities.READ, (self.name, self._store.shard))).fetchall()
        self._active, self._reached = True, position
        self._began_at = utc_now()
        self._standstill.begin()
        for tenant_id, key, stream_id, causation_id, correlation_id in rows:
            self._kept.add((tenant_id, key))
            origin = Origin(tenant_id, self._actor, key, correlation_id, causation_id)
            self._start(Activity(key), stream_id, origin, written_here=False, alone=False)

    async def end(self) -> None:
        """Another one may act now: drop what is under way."""
        self._active = False
        self._standstill.end()
        sending = [acted for seen in self._seen.values() for acted in seen if isinstance(acted, asyncio.Task)]
        await end(*self._under_way.values(), *sending)
        self._seen.clear()
        self._under_way.clear()
        for known in (self._answered, self._begun, self._kept, self._over):
            known.clear()

    @property
    def _actor(self) -> str:
        return f"saga:{self.name}"

    def written(self, request: Request, appended: Appended) -> None:
        """Act on what was just written, without waiting until the log brings it."""
        if not self._active:
            return
        own = request.looked_at[0]
        first = appended.position - len(appended.ids) + 1
        for position, (event, raw) in enumerate(zip(own.events, appended.ids, strict=False), first):
            # The log may have been faster: then this would be kept for ever.
            if event.type not in self.types or position <= self._reached or len(self._seen) >= SEEN_MAX:
                continue
            envelope = Envelope(position, uuid_text(raw), request.origin.tenant_id, own.stream_id, 0, _EPOCH, event)
            try:
                doings = self._performance.react(envelope)
            except Exception:
                # Whoever wrote it is not to blame: it is parked when the log brings it.
                continue
            self._seen[envelope.id] = [self._act(doing, envelope, request.origin, True) for doing in doings]

    def _act(self, doing: Doing, envelope: Envelope[Any], cause: Origin, written_here: bool) -> Seen:
        if isinstance(doing, Over):
            return doing
        origin = self._origin(cause, envelope)
        if isinstance(doing, Activity):
            alone = written_here or envelope.occurred_at > self._began_at
            self._start(doing, envelope.stream_id, origin, written_here=written_here, alone=alone)
            return doing, origin
        return asyncio.create_task(self._send(doing, origin))

    def _origin(self, cause: Origin, envelope: Envelope[Any]) -> Origin:
        command_id = f"{envelope.id}/{self.name}"
        return Origin(cause.tenant_id, self._actor, command_id, cause.correlation_id, envelope.id, cause.traceparent)

    def _start(self, activity: Activity, stream_id: str, origin: Origin, *, written_here: bool, alone: bool) -> None:
        """`alone`: no other performer can have begun it, so far."""
        key = (origin.tenant_id, activity.key)
        if key not in self._under_way and key not in self._answered:
            carrying_out = self._carry_out(key, activity, stream_id, origin, written_here, alone)
            self._under_way[key] = asyncio.create_task(carrying_out)

    async def _carry_out(
        self, key: Key, activity: Activity, stream_id: str, origin: Origin, written_here: bool, alone: bool
    ) -> None:
        began = time.monotonic()
        try:
            command = await self._performed(activity, stream_id, origin, written_here)
            if isinstance(command, IfAlone):
                sure = alone and not self._standstill.since(began)
                command = command.command if sure else command.otherwise
            refused = None
            if command is None and key in self._kept:
                self._over.add(key)  # what says that it is over may have been parked, or discarded
            if command is not None:
                refused = await self._send(command.command if isinstance(command, Ask) else command, origin)
            if refused is not None and isinstance(command, Ask):
                await self._send(command.refused(refused.code, str(refused)), origin)
        except Exception as broken:
            # It is kept, and whoever begins next tries it again.
            log.error("activity broke down", performer=self.name, stream=stream_id, cause=type(broken).__name__)
            return
        crash_point("activity.after_command")
        if self._under_way.pop(key, None) is not None:
            self._answered.add(key)

    async def _performed(
        self, activity: Activity, stream_id: str, origin: Origin, written_here: bool
    ) -> Command | Ask | IfAlone | None:
        """Perform until it is known what that came to: what it needs of the log may be away for a while."""
        known = written_here
        for pause_s in _pauses_s():
            stood_still = self._standstill.watch()
            async with self._slots:
                try:
                    if not known:
                        # Another process wrote it: what this one knows of the stream may be from before, and the activity not in it.
                        await self._bus.state(origin.tenant_id, stream_id, fresh=True)
                    known = False
                    crash_point("activity.before")
                    send = partial(self._send, origin=origin)
                    command = await self._perform(origin.tenant_id, stream_id, activity, send, stood_still)
                    crash_point("activity.after")
                    return command
                except _AWAY as broken:
                    log.warning("activity is tried again", performer=self.name, cause=type(broken).__name__)
            await asyncio.sleep(pause_s)
        raise AssertionError

    async def _send(self, command: Command, origin: Origin) -> Rejection | None:
        """Send a command until it is answered; a rejection is an answer."""
        for pause_s in _pauses_s():
            try:
                await self._bus.execute(command, origin)
                return None
            except VersionConflict:
                log.info("activity's command is sent again", performer=self.name, command=type(command).__name__)
            except Rejection as rejection:
                log.info("activity's command refused", command=type(command).__name__, code=rejection.code)
                return rejection.with_traceback(None)
            except _AWAY as broken:
                log.warning("activity's command is sent again", performer=self.name, cause=type(broken).__name__)
            await asyncio.sleep(pause_s)
        raise AssertionError

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        """What the log brings: commands that are not sent yet are sent, activities are kept until they are over."""
        self._reached = max(self._reached, position)
        if not records:
            return self._changes()
        sending: list[tuple[Record, asyncio.Task[Rejection | None]]] = []
        for record in records:
            seen = self._seen.pop(record.id, None)
            if seen is None:
                envelope, cause = self._read(record)
                seen = [self._act(doing, envelope, cause, False) for doing in self._react(record, envelope)]
            for acted in seen:
                if isinstance(acted, asyncio.Task):
                    sending.append((record, acted))
                elif isinstance(acted, Over):
                    self._forget((record.tenant_id, acted.key))
                else:
                    self._begun[record.tenant_id, acted[0].key] = (record.stream_id, acted[1])
        if sending:
            await asyncio.wait([sent for _, sent in sending])
        for record, sent in sending:
            if not sent.cancelled() and sent.exception() is not None:
                raise Poison(record) from sent.exception()
        return []

    def _forget(self, key: Key) -> None:
        self._begun.pop(key, None)
        if key in self._kept:
            self._over.add(key)
        self._answered.discard(key)
        under_way = self._under_way.pop(key, None)
        if under_way is not None:
            under_way.cancel()

    def _changes(self) -> list[Effect]:
        """What there is to keep up to here: what was begun and is not over, and what is over of what was kept."""
        begun, over = self._begun, self._over
        effects: list[Effect] = []
        if begun:
            columns = [
                [tenant_id for tenant_id, _ in begun],
                [key for _, key in begun],
                [stream_id for stream_id, _ in begun.values()],
                [origin.causation_id for _, origin in begun.values()],
                [origin.correlation_id for _, origin in begun.values()],
            ]
            effects.append(Effect(kept_activities.KEEP, columns))
        if over:
            effects.append(
                Effect(kept_activities.FORGET, [[tenant_id for tenant_id, _ in over], [key for _, key in over]])
            )
        self._kept.update(begun)
        self._kept.difference_update(over)
        self._begun, self._over = {}, set()
        return effects

    def _read(self, record: Record) -> tuple[Envelope[Any], Origin]:
        try:
            envelope = to_envelope(record, self._decoder)
            return envelope, envelope.origin
        except Exception as cause:
            raise Poison(record) from cause

    def _react(self, record: Record, envelope: Envelope[Any]) -> Sequence[Doing]:
        try:
            return self._performance.react(envelope)
        except Exception as cause:
            raise Poison(record) from cause

    async def rebuild(self, connection: Connection, position: int) -> int:
        """A new version goes on from where the old one stood."""
        return position
