"""The consumer: one ordered reader of the log whose effect and checkpoint are committed together.

Guarantee: each event takes effect once and in order; two runners of one consumer cannot both make progress (a lease, and the
checkpoint is moved by compare-and-set). An event that cannot be handled is parked with its cause, and what follows in its stream;
all else goes on.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import structlog

from infra.adapters.breakdown import is_breakdown
from infra.adapters.checkpoints import (
    BEHIND_PARKED,
    Board,
    Checkpoint,
    CheckpointMoved,
    Checkpoints,
    forget,
    park,
)
from infra.adapters.event_store import EventStore, Record
from infra.adapters.lease import LeaseSession, PostgresLease, while_held
from infra.adapters.postgres_connection import WatchedConnection
from infra.engines.feed import Feed, read_ahead
from infra.engines.handler import Handler
from infra.engines.poison import Poison, cause_of
from infra.errors import Fault
from infra.faults import crash_point
from infra.settings import Settings

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 1.0
_LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
_LOCK_SPACE = 0x0F01_D002
_END_OTHER = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Consumer:
    """Runs one handler; `announce(name, position)` is called whenever a projection has come further: queries wait for it."""

    def __init__(
        self,
        handler: Handler,
        store: EventStore,
        feed: Feed,
        database_url: str,
        settings: Settings,
        announce: Callable[[str, int], None],
        session: LeaseSession | None = None,
        board: Board | None = None,
    ) -> None:
        self._handler = handler
        self._store = store
        self._feed = feed
        self._url = database_url
        self._settings = settings
        self._announce = announce
        self._session = session
        self._checkpoints = Checkpoints(handler.name, store.shard, handler.version, handler.kind)
        self._board = board or Board(store.shard, settings.consumer_control_poll_s / 2)
        self._blocked: set[tuple[str, str]] = set()
        self.position = 0
        self._stored = 0
        self.active = self.rebuilding = False
        self._pause_s = PAUSE_S_MIN
        # Queries wait until a projection has seen an event, whatever it is to it; nobody waits for a saga.
        self._passed = self._pass_by if handler.kind == "projection" else None

    async def run(self) -> None:
        """Consume whenever the lease is ours, for ever; whatever is lost or breaks down, begin again after a pause."""
        name, poll_s = f"consumer/{self._handler.name}/{self._store.shard}", self._settings.consumer_lease_poll_s
        lease = PostgresLease(self._url, name, poll_s=poll_s, session=self._session)
        while True:
            try:
                await lease.acquire()
                await while_held(lease, self._run_leased())
            except (psycopg.Error, OSError, Fault) as broken:
                # Also what Postgres refuses whenever it is asked: a table of one consumer shall not stop the others of this process.
                log.warning("consumer begins again", consumer=self._handler.name, cause=type(broken).__name__)
            finally:
                self.active = False
                await self._handler.end()
                await lease.release()
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)

    async def _run_leased(self) -> None:
        async with await WatchedConnection.connect(self._url, autocommit=True) as connection:
            await self._shut_out_others(connection)
            self.active = True
            self._pause_s = PAUSE_S_MIN
            await self._consume(connection)

    async def _shut_out_others(self, connection: Connection) -> None:
        """A runner that was stopped, and so lost the lease, may hold row locks: end its session before ours needs them."""
        key = zlib.crc32(f"{self._handler.name}/{self._store.shard}".encode()) & 0x7FFF_FFFF
        while True:
            row = await (await connection.execute(_LOCK, (_LOCK_SPACE, key))).fetchone()
            if row is not None and row[0]:
                return
            await connection.execute(_END_OTHER, (_LOCK_SPACE, key))
            await asyncio.sleep(PAUSE_S_MIN)

    async def _consume(self, connection: Connection) -> None:
        # What a consumer writes can be had again from the log, together with its checkpoint: it need not wait for the disk.
        await connection.execute("SET synchronous_commit = off")
        checkpoint = await self._checkpoints.read(connection)
        self._stored = checkpoint.position
        await self._feed.confirm(self._stored)
        await self._begin(connection, self._stored)
        self.position = self._stored
        clock, look_at = asyncio.get_running_loop().time, 0.0
        while True:
            if clock() >= look_at:
                checkpoint = await self._control(connection)
                look_at = clock() + self._settings.consumer_control_poll_s
            if checkpoint.paused:
                await asyncio.sleep(self._settings.consumer_control_poll_s)
                continue
            if self._feed.position - self.position > self._settings.catch_up_lag_events:
                await self._catch_up(connection)
                continue
            timeout_s, size = self._settings.consumer_control_poll_s, self._settings.consumer_batch_events_max
            fresh = await self._feed.after(self.position, size, timeout_s, self._handler.types, self._passed)
            records, until = self.in_sequence(fresh)
            crash_point("consumer.after_fetch")
            if until > self.position:
                await self._take(connection, records, until)

    def _pass_by(self, position: int) -> None:
        """What came up to there is nothing to this consumer: its checkpoint follows soon."""
        self.position = position
        self._announce(self._handler.name, position)

    async def _catch_up(self, connection: Connection) -> None:
        """Far behind: read only what is of interest, in large parts, straight from the log."""
        parts = read_ahead(
            self._store,
            self.position,
            min(self._feed.position, self.position + self._settings.catch_up_stretch_events_max),
            list(self._handler.types),
            self._settings.catch_up_batch_events_max,
        )
        async for records, until in parts:
            await self._take(connection, records, until)

    async def _begin(self, connection: Connection, position: int) -> None:
        self._blocked = await self._checkpoints.blocked(connection)
        await self._handler.begin(connection, position)

    async def _control(self, connection: Connection) -> Checkpoint:
        """See what operators want: pause, rebuild, retry or discard parked events. Mostly nothing, and that one look says for all."""
        if self.position > self._stored:
            await self._commit(connection, [], self.position)
        noticed = await self._board.look(connection, self._handler.name)
        if noticed is not None:
            checkpoint, wanted = noticed
            as_it_was = checkpoint.version == self._handler.version and checkpoint.position <= self._stored
            if as_it_was and not checkpoint.rebuild and not wanted:
                return checkpoint
        return await self._obey(connection)

    async def _obey(self, connection: Connection) -> Checkpoint:
        checkpoint = await self._checkpoints.read(connection)
        if checkpoint.position != self._stored:
            raise CheckpointMoved
        if checkpoint.rebuild or checkpoint.version != self._handler.version:
            await self._rebuild(connection)
            return await self._checkpoints.read(connection)
        wanted = await self._checkpoints.wanted(connection)
        if wanted:
            await self._reconsider(connection, wanted)
        return checkpoint

    async def _rebuild(self, connection: Connection) -> None:
        log.info("rebuild begins", consumer=self._handler.name)
        self.rebuilding = True
        async with connection.transaction():
            if self._handler.kind == "projection":
                # It takes what is parked again, with all the rest; a saga goes on from where it is.
                letters = "DELETE FROM dead_letter WHERE consumer = %s AND shard = %s"
                await connection.execute(letters, (self._handler.name, self._store.shard))
            position = await self._handler.rebuild(connection, self.position)
            await self._checkpoints.restart(connection, self._stored, position)
        self.position = self._stored = position
        self.rebuilding = False
        await self._begin(connection, self.position)
        self._announce(self._handler.name, position)
        log.info("rebuild ended", consumer=self._handler.name, position=position)

    def in_sequence(self, records: Sequence[Record]) -> tuple[list[Record], int]:
        """Only what follows on from the checkpoint: what was seen is dropped, and nothing is taken from behind a hole."""
        taken: list[Record] = []
        position = self.position
        if [record.position for record in records] == list(range(position + 1, position + 1 + len(records))):
            return list(records), position + len(records)
        for record in records:
            if record.position == position + 1:
                position += 1
                taken.append(record)
            elif record.position > position:
                break
        return taken, position

    async def _take(self, connection: Connection, records: Sequence[Record], until: int) -> None:
        """Bring events into effect and move the checkpoint to `until`, in one transaction.

        Events without an effect here only move the position in memory; the checkpoint follows with the next effect, or soon.
        """
        mine = [record for record in records if record.type in self._handler.types]
        try:
            if mine:
                await self._commit(connection, mine, until)
            self.position = until
        except (Poison, psycopg.Error) as refused:
            if is_breakdown(refused):
                raise
            if self.position > self._stored:
                await self._commit(connection, [], self.position)
            await self._begin(connection, self.position)
            await self._one_by_one(connection, mine, until)
        if self._handler.kind == "projection":
            self._announce(self._handler.name, self.position)

    async def _commit(
        self, connection: Connection, records: Sequence[Record], until: int, cause: str | None = None
    ) -> None:
        """Bring records into effect, or park them if there is a cause, and move the checkpoint."""
        parked = [(record, cause or BEHIND_PARKED) for record in records if cause or self._is_blocked(record)]
        healthy = [record for record in records if not (cause or self._is_blocked(record))] if parked else records
        follows = self._handler.follows
        effects = list(await self._handler.effects(connection, healthy, until)) if healthy or follows else []
        if follows and healthy:
            if not parked:
                self.position = until
                return
            effects.extend(await self._handler.effects(connection, [], until))
        if parked:
            effects.append(park(parked))
        crash_point("consumer.before_commit")
        await self._checkpoints.move(connection, self._stored, until, effects)
        crash_point("consumer.after_commit")
        if self._handler.kind == "saga":
            crash_point("saga.after_checkpoint")
        self.position = self._stored = until

    def _is_blocked(self, record: Record) -> bool:
        return (record.tenant_id, record.stream_id) in self._blocked

    async def _one_by_one(self, connection: Connection, records: Sequence[Record], until: int) -> None:
        """After a failure: each event in a transaction of its own, so that only the one that fails is parked."""
        for record in records:
            try:
                await self._commit(connection, [record], record.position)
            except (Poison, psycopg.Error) as refused:
                if is_breakdown(refused):
                    raise
                if self.position > self._stored:
                    await self._commit(connection, [], self.position)
                log.warning("event parked", consumer=self._handler.name, position=record.position, type=record.type)
                await self._handler.begin(connection, self.position)
                await self._commit(connection, [record], record.position, cause_of(refused))
                self._blocked.add((record.tenant_id, record.stream_id))
        if until > self.position:
            await self._commit(connection, [], until)

    async def _reconsider(self, connection: Connection, wanted: Sequence[tuple[int, str, str, str]]) -> None:
        """Retry or discard parked events, in order; a stream whose retry fails stays parked."""
        failed: set[tuple[str, str]] = set()
        for position, tenant_id, stream_id, what in wanted:
            if (tenant_id, stream_id) in failed:
                continue
            records = await self._store.read(position - 1, 1, until=position)
            try:
                again = records if what == "retry" else []
                effects = list(await self._handler.effects(connection, again, self._stored))
                if again and self._handler.follows:
                    effects.extend(await self._handler.effects(connection, [], self._stored))
                await self._checkpoints.move(connection, self._stored, self._stored, [*effects, forget([position])])
            except (Poison, psycopg.Error) as refused:
                if is_breakdown(refused):
                    raise
                failed.add((tenant_id, stream_id))
                await self._handler.begin(connection, self.position)
                letter = park([(records[0], cause_of(refused))])
                await self._checkpoints.move(connection, self._stored, self._stored, [letter])
                await self._checkpoints.keep_parked(connection, tenant_id, stream_id)
        self._blocked = await self._checkpoints.blocked(connection)
