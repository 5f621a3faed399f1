"""The saga runner: has a saga react to the log, and sends what it asks for before the checkpoint moves.

Guarantee: each reaction takes effect once. A crash between sending and the checkpoint sends the same commands again under the same ids,
which the log answers without doing them twice. State is a fold of the log; a snapshot only shortens the way to it.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
import structlog

from events.envelope import Envelope, Origin
from infra.adapters.event_store import EventStore, Record
from infra.engines.command_bus import CommandBus
from infra.engines.consumer import Poison
from infra.engines.feed import read_ahead
from infra.engines.projector import Decoder, to_envelope
from infra.errors import Fault, Rejection, VersionConflict
from infra.faults import crash_point
from infra.patterns.decider import Command
from infra.patterns.saga import Reaction, Saga, Schedule
from infra.settings import Settings

log = structlog.get_logger()

POSITION_MAX = 2**63 - 1
REFOLDED_SHARE_MAX = 0.1
"""A restart that had to fold more than this share of `saga_snapshot_events` makes the next one shorter."""

Connection = psycopg.AsyncConnection[Any]
Sending = tuple[Record, tuple[Command, Origin, bool]]

_SNAPSHOT = "SELECT position, states FROM saga_state WHERE saga = %s AND shard = %s AND version = %s AND position <= %s"
# As of the checkpoint, which is committed with it; not at all where another runner has moved on. The states are one text in there:
# as a jsonb object they would lose the order of their keys, on which what a saga does next may depend.
_KEEP_SNAPSHOT = """
INSERT INTO saga_state (saga, shard, position, version, states)
SELECT consumer, shard, position, %s, to_jsonb(%s::text) FROM checkpoint WHERE consumer = %s AND shard = %s AND position <= %s
ON CONFLICT (saga, shard)
DO UPDATE SET position = EXCLUDED.position, version = EXCLUDED.version, states = EXCLUDED.states
RETURNING position
"""
_PARKED = "SELECT position FROM dead_letter WHERE consumer = %s AND shard = %s"
_KEEP_TIMER = """
INSERT INTO timer (shard, timer_id, due_at, tenant_id, saga, command, fields, causation_id, correlation_id)
VALUES (%s, %s, %s, %s, %s, %s, %s::json, %s, %s) ON CONFLICT DO NOTHING
"""


class SagaRunner:
    """A consumer's handler. One state for each tenant, in memory."""

    kind = "saga"

    def __init__(
        self, saga: Saga[Any], store: EventStore, bus: CommandBus, decoder: Decoder, settings: Settings
    ) -> None:
        self.name = saga.name
        self.version = saga.version
        self.types = frozenset(event.type for event in saga.handles)
        self._saga = saga
        self._store = store
        self._bus = bus
        self._decoder = decoder
        self._settings = settings
        self._states: dict[str, Any] = {}
        self._since_snapshot = 0
        self._reached = 0

    async def begin(self, connection: Connection, position: int) -> None:
        """Load the newest usable snapshot and fold what came after it but is not parked, without sending anything."""
        self._states = {}
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
                    self._refold(record)
            self._since_snapshot += len(records)
        self._reached = position
        if self._since_snapshot > self._settings.saga_snapshot_events * REFOLDED_SHARE_MAX:
            await self._snapshot(connection, position)

    def _refold(self, record: Record) -> None:
        try:
            self._react(record)
        except Poison:
            log.warning("an event that was handled cannot be any more", saga=self.name, position=record.position)

    async def apply(self, connection: Connection, records: Sequence[Record]) -> None:
        # A fold of the log could not tell that something came late or was discarded: the state is kept as it is then.
        out_of_order = not records or records[0].position <= self._reached
        sending: list[Sending] = []
        for record in records:
            envelope, reactions = self._react(record)
            for number, reaction in enumerate(reactions):
                origin = self._origin(record, envelope, f"{record.id}/{self.name}/{number}")
                if isinstance(reaction, Schedule):
                    await self._schedule(connection, origin, reaction)
                else:
                    sending.append((record, (reaction, origin, True)))
        crash_point("saga.before_commands")
        await self._send(sending)
        self._since_snapshot += len(records)
        self._reached = max(self._reached, records[-1].position if records else 0)
        if out_of_order or self._since_snapshot >= self._settings.saga_snapshot_events:
            await self._snapshot(connection)
        crash_point("saga.before_checkpoint")

    def _react(self, record: Record) -> tuple[Envelope[Any], Sequence[Reaction]]:
        try:
            envelope = to_envelope(record, self._decoder)
            state = self._states.get(record.tenant_id)
            if state is None:
                state = self._states[record.tenant_id] = self._saga.state()
            return envelope, self._saga.react(envelope, state)
        except Exception as cause:
            raise Poison(record) from cause

    async def _send(self, sending: Sequence[Sending]) -> None:
        """Send commands in order, a bounded number at a time. A rejection is an answer; a fault means to begin again.

        A command that breaks down otherwise does so however often it is sent: its event is poison.
        """
        size = self._settings.saga_commands_in_flight_max
        for start in range(0, len(sending), size):
            part = sending[start : start + size]
            answers = await self._bus.execute_many([request for _, request in part])
            crash_point("saga.mid_commands")
            for (record, (command, _, _)), answer in zip(part, answers, strict=True):
                name = type(command).__name__
                if isinstance(answer, Rejection) and not isinstance(answer, VersionConflict):
                    log.info("saga command refused", saga=self.name, command=name, code=answer.code)
                elif isinstance(answer, Fault):
                    raise answer
                elif isinstance(answer, VersionConflict | psycopg.Error | OSError):
                    raise SagaCommandFailed(f"{name}: {type(answer).__name__}") from answer
                elif isinstance(answer, Exception):
                    raise Poison(record) from answer

    def _origin(self, record: Record, envelope: Envelope[Any], command_id: str) -> Origin:
        try:
            cause = envelope.origin
        except Exception as unreadable:
            raise Poison(record) from unreadable
        actor = f"saga:{self.name}"
        return Origin(envelope.tenant_id, actor, command_id, cause.correlation_id, envelope.id, cause.traceparent)

    async def _schedule(self, connection: Connection, origin: Origin, timer: Schedule) -> None:
        """Keep a command for later, under the id that it would have now."""
        await connection.execute(
            _KEEP_TIMER,
            (
                self._store.shard,
                origin.command_id,
                timer.at,
                origin.tenant_id,
                self.name,
                type(timer.command).__name__,
                timer.command.model_dump_json(exclude_unset=True),
                origin.causation_id,
                origin.correlation_id,
            ),
        )

    async def _snapshot(self, connection: Connection, position_max: int = POSITION_MAX) -> None:
        states = orjson.dumps({tenant_id: state.model_dump(mode="json") for tenant_id, state in self._states.items()})
        parameters = (self.version, states.decode(), self.name, self._store.shard, position_max)
        row = await (await connection.execute(_KEEP_SNAPSHOT, parameters)).fetchone()
        if row is not None:
            self._reached = max(self._reached, row[0])
            self._since_snapshot = 0

    async def rebuild(self, connection: Connection, position: int) -> int:
        """A new version of a saga goes on from where the old one stood, its state folded anew from the whole log."""
        await connection.execute(
            "DELETE FROM saga_state WHERE saga = %s AND shard = %s", (self.name, self._store.shard)
        )
        return position


class SagaCommandFailed(Fault):
    """A command of a saga broke down; the saga begins again from its checkpoint."""
