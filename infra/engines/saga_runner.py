"""The saga runner: has a saga react to the log, and sends what it asks for before the checkpoint moves.

Guarantee: each reaction takes effect once, and of an Ask either its command or its refusal. A crash between sending and the checkpoint
sends the same commands again under the same ids, which the log answers without doing them twice. State is a fold of the log; a snapshot
only shortens the way to it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import psycopg
import structlog

from events.envelope import Envelope, Origin
from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import EventStore, Record
from infra.engines.command_bus import CommandBus
from infra.engines.feed import read_ahead
from infra.engines.poison import Poison
from infra.engines.projector import Decoder, to_envelope
from infra.errors import CommandIdReused, Fault, Rejection, VersionConflict
from infra.faults import crash_point
from infra.ids import utc_now
from infra.patterns.decider import Command
from infra.patterns.saga import Ask, Reaction, Saga, Schedule
from infra.settings import Settings

log = structlog.get_logger()

REFOLDED_SHARE_MAX = 0.1
"""A restart that had to fold more than this share of `saga_snapshot_events` makes the next one shorter."""

_LATER = timedelta(seconds=60)
"""When a command that broke down is sent again, as often as it takes."""

Connection = psycopg.AsyncConnection[Any]


class Sending(NamedTuple):
    """A command under way, the event that it follows from, and what is sent if it is refused."""

    record: Record
    command: Command
    origin: Origin
    refused: Callable[[str, str], Command] | None = None

    @property
    def origin_of_refusal(self) -> Origin:
        return self.origin._replace(command_id=f"{self.origin.command_id}/refused")


_SNAPSHOT = "SELECT position, states FROM saga_state WHERE saga = %s AND shard = %s AND version = %s AND position <= %s"
# As of the checkpoint, which moves with it; not at all where another runner has moved on. The states are one text in there:
# as a jsonb object they would lose the order of their keys, on which what a saga does next may depend.
_KEEP_SNAPSHOT = """
INSERT INTO saga_state (saga, shard, position, version, states)
SELECT consumer, shard, position, %s, to_jsonb(%s::text) FROM {source}
ON CONFLICT (saga, shard)
DO UPDATE SET position = EXCLUDED.position, version = EXCLUDED.version, states = EXCLUDED.states
RETURNING position
"""
_AT_ITS_CHECKPOINT = "checkpoint WHERE consumer = %s AND shard = %s AND position <= %s"
_PARKED = "SELECT position FROM dead_letter WHERE consumer = %s AND shard = %s"
_KEEP_TIMERS = """
INSERT INTO timer (shard, timer_id, due_at, tenant_id, saga, command, fields, causation_id, correlation_id)
SELECT m.shard, t.timer_id, t.due_at, t.tenant_id, m.consumer, t.command, t.fields, t.causation_id, t.correlation_id
FROM moved m, json_to_recordset(%s::json) AS t (
    timer_id text, due_at timestamptz, tenant_id text, command text, fields json, causation_id text, correlation_id text
) ON CONFLICT DO NOTHING
"""


class SagaRunner:
    """A consumer's handler. One state for each tenant, in memory."""

    kind = "saga"
    follows = False

    def __init__(
        self, saga: Saga[Any], store: EventStore, bus: CommandBus, decoder: Decoder, settings: Settings
    ) -> None:
        self.name = saga.name
        self.version = saga.version
        self.types = frozenset(event.type for event in saga.handles)
        self._slow = frozenset(event.type for event in saga.slow)
        self._saga = saga
        self._store = store
        self._bus = bus
        self._decoder = decoder
        self._settings = settings
        self._states: dict[str, Any] = {}
        self._since_snapshot = 0
        self._reached = 0
        self._sent_until = 0

    async def begin(self, connection: Connection, position: int) -> None:
        """Load the newest usable snapshot and fold what came after it but is not parked, without sending anything."""
        self._states = {}
        self._sent_until = await self._store.head()
        parameters = (self.name, self._store.shard, self.version, position)
        row = await (await connection.execute(_SNAPSHOT, parameters)).fetchone()
        reached = row[0] if row is not None else 0
        if row is not None:
            states = orjson.loads(row[1]).items()
            self._states = {tenant_id: self._saga.state.model_validate(state) for tenant_id, state in states}
        size = self._settings.catch_up_batch_events_max
        parked = await (await connection.execute(_PARKED, (self.name, self._store.shard))).fetchall()
        skipped = {at for (at,) in parked}
        self._since_snapshot = 0
        async for records, _ in read_ahead(self._store, reached, position, list(self.types), size):
            for record in records:
                if record.position not in skipped:
                    await self._refold(record)
            self._since_snapshot += len(records)
        self._reached = position
        if self._since_snapshot > self._settings.saga_snapshot_events * REFOLDED_SHARE_MAX:
            await self._snapshot(connection, position)

    async def _refold(self, record: Record) -> None:
        try:
            await self._reactions(record)
        except Poison:
            log.warning("an event that was handled cannot be any more", saga=self.name, position=record.position)

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        """Sends the commands; timers and, from time to time, a snapshot are kept with the checkpoint."""
        # A fold of the log could not tell that something came late or was discarded: the state is kept as it is then.
        out_of_order = not records or records[0].position <= self._reached
        sending: list[Sending] = []
        timers: list[dict[str, Any]] = []
        for record in records:
            envelope, reactions = await self._reactions(record)
            for number, reaction in enumerate(reactions):
                origin = self._origin(record, envelope, f"{record.id}/{self.name}/{number}")
                if isinstance(reaction, Schedule):
                    timers.append(_timer(origin, reaction))
                elif isinstance(reaction, Ask):
                    sending.append(Sending(record, reaction.command, origin, reaction.refused))
                else:
                    sending.append(Sending(record, reaction, origin))
        crash_point("saga.before_commands")
        broken = await self._send(sending, self._sent_before(records))
        timers.extend(_timer(one.origin, Schedule(utc_now() + _LATER, one.command)) for one in broken)
        self._since_snapshot += len(records)
        self._reached = max(self._reached, records[-1].position if records else 0)
        effects = [Effect(_KEEP_TIMERS, (orjson.dumps(timers).decode(),))] if timers else []
        if out_of_order or self._since_snapshot >= self._settings.saga_snapshot_events:
            self._since_snapshot = 0
            if (dumped := self._dumped()) is not None:
                effects.append(Effect(_KEEP_SNAPSHOT.format(source="moved"), (self.version, dumped)))
                self._reached = max(self._reached, position)
        crash_point("saga.before_checkpoint")
        return effects

    async def _reactions(self, record: Record) -> tuple[Envelope[Any], Sequence[Reaction]]:
        if record.type in self._slow:
            return await asyncio.to_thread(self._react, record, self._states)
        return self._react(record, self._states)

    def _react(self, record: Record, states: dict[str, Any]) -> tuple[Envelope[Any], Sequence[Reaction]]:
        """States are given, since a thread may still be at work when the runner has begun anew."""
        try:
            envelope = to_envelope(record, self._decoder)
            state = states.get(record.tenant_id)
            if state is None:
                state = states[record.tenant_id] = self._saga.state()
            return envelope, self._saga.react(envelope, state)
        except Exception as cause:
            raise Poison(record) from cause

    def _sent_before(self, records: Sequence[Record]) -> int:
        """The position up to which commands may have been sent already: by a runner before this one, or here if it was cut off."""
        before = self._sent_until
        self._sent_until = max([before, *(record.position for record in records)])
        return before

    async def _send(self, sending: Sequence[Sending], sent_until: int) -> list[Sending]:
        """Send commands in order, in bounded parts, and after each what its refusals lead to; gives those to be sent again later."""
        broken: list[Sending] = []
        size = self._settings.saga_commands_in_flight_max
        for start in range(0, len(sending), size):
            part = await self._not_refused_before(sending[start : start + size], sent_until)
            refusals = await self._send_part(part, broken)
            crash_point("saga.mid_commands")
            await self._send_part(refusals, broken)
        return broken

    async def _not_refused_before(self, part: Sequence[Sending], sent_until: int) -> Sequence[Sending]:
        """Without what was refused when it was sent before: that was told already."""
        doubtful = [one for one in part if one.refused is not None and one.record.position <= sent_until]
        if not doubtful:
            return part
        told = await asyncio.gather(*(self._was_sent(one.origin_of_refusal) for one in doubtful))
        refused = {one.origin.command_id for one, so in zip(doubtful, told, strict=True) if so}
        return [one for one in part if one.origin.command_id not in refused]

    async def _was_sent(self, origin: Origin) -> bool:
        try:
            return await self._store.answer(origin.tenant_id, origin.command_id, b"") is not None
        except CommandIdReused:
            return True

    async def _send_part(self, part: Sequence[Sending], broken: list[Sending]) -> list[Sending]:
        """Send, and give what the refused ones lead to. A rejection is an answer; a fault means to begin again.

        A command that breaks down otherwise does so however often it is sent. For the stream of its own event, or if somebody wants to
        know of its refusal, the event is poison. For another stream it is put among the `broken`: that stream is at fault, and this
        one, with all that comes in it, need not stand still for it.
        """
        if not part:
            return []
        refusals: list[Sending] = []
        answers = await self._bus.execute_many([(one.command, one.origin, True) for one in part])
        for one, answer in zip(part, answers, strict=True):
            name = type(one.command).__name__
            if isinstance(answer, Rejection) and not isinstance(answer, VersionConflict):
                log.info("saga command refused", saga=self.name, command=name, code=answer.code)
                # An id that another command had was that of this one, before this program was changed: it was accepted then.
                if one.refused is not None and not isinstance(answer, CommandIdReused):
                    refusals.append(self._refusal(one, answer))
            elif isinstance(answer, Fault):
                raise answer
            elif isinstance(answer, VersionConflict | psycopg.Error | OSError):
                raise SagaCommandFailed(f"{name}: {type(answer).__name__}") from answer
            elif isinstance(answer, Exception):
                stream_id = self._bus.stream_of(one.command)
                if one.refused is not None or stream_id == one.record.stream_id:
                    raise Poison(one.record) from answer
                cause = type(answer).__name__
                log.error("saga command comes later", saga=self.name, command=name, stream=stream_id, cause=cause)
                broken.append(one)
        return refusals

    def _refusal(self, one: Sending, rejection: Rejection) -> Sending:
        assert one.refused is not None
        try:
            command = one.refused(rejection.code, str(rejection))
        except Exception as cause:
            raise Poison(one.record) from cause
        return Sending(one.record, command, one.origin_of_refusal)

    def _origin(self, record: Record, envelope: Envelope[Any], command_id: str) -> Origin:
        try:
            cause = envelope.origin
        except Exception as unreadable:
            raise Poison(record) from unreadable
        actor = f"saga:{self.name}"
        return Origin(envelope.tenant_id, actor, command_id, cause.correlation_id, envelope.id, cause.traceparent)

    async def _snapshot(self, connection: Connection, position_max: int) -> None:
        """Keep the states now, unless another runner has moved on."""
        where = (self.name, self._store.shard, position_max)
        query, dumped = _KEEP_SNAPSHOT.format(source=_AT_ITS_CHECKPOINT), self._dumped()
        if dumped is None:
            return
        row = await (await connection.execute(query.encode(), (self.version, dumped, *where))).fetchone()
        if row is not None:
            self._reached = max(self._reached, row[0])
            self._since_snapshot = 0

    def _dumped(self) -> str | None:
        """The states as JSON; None if that is more than can be kept: then the way to them stays long."""
        states = {tenant_id: state.model_dump(mode="json") for tenant_id, state in self._states.items()}
        dumped = orjson.dumps(states)
        if len(dumped) > self._settings.saga_snapshot_bytes_max:
            log.error("the state of a saga is too large to be kept", saga=self.name, size=len(dumped))
            return None
        return dumped.decode()

    async def end(self) -> None:
        """Nothing is under way between two batches."""

    async def rebuild(self, connection: Connection, position: int) -> int:
        """A new version of a saga goes on from where the old one stood, its state folded anew from the whole log."""
        await connection.execute(
            "DELETE FROM saga_state WHERE saga = %s AND shard = %s", (self.name, self._store.shard)
        )
        return position


def _timer(origin: Origin, timer: Schedule) -> dict[str, Any]:
    """A command for later, under the id that it would have now."""
    return {
        "timer_id": origin.command_id,
        "due_at": timer.at,
        "tenant_id": origin.tenant_id,
        "command": type(timer.command).__name__,
        "fields": orjson.Fragment(timer.command.model_dump_json(exclude_unset=True)),
        "causation_id": origin.causation_id,
        "correlation_id": origin.correlation_id,
    }


class SagaCommandFailed(Fault):
    """A command of a saga broke down; the saga begins again from its checkpoint."""
