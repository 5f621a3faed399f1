"""The connection that appends go through: one call at a time, and after it was lost, the truth about that call.

Guarantee: what `find_out` says stays true; the lost session has ended and cannot commit any more.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog
from psycopg import generators
from psycopg.pq import ExecStatus, Format

from infra.adapters import postgres_arrays as arrays
from infra.adapters.append_parameters import append_parameters, refused_parameters
from infra.adapters.append_plan import CommandKey, Plan, StreamKey
from infra.adapters.event_store import Append, Appended
from infra.adapters.postgres_connection import WatchedConnection
from infra.errors import CommandIdReused, OutcomeUnknown, StoreUnavailable
from infra.faults import crash_point
from infra.ids import uuid_text
from infra.settings import Settings

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]
Session = tuple[int, Any]

BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError)

_APPEND = b"foldwork_append"
_PREPARE = f"""
PREPARE {_APPEND.decode()} (
    int, text[], text[], bigint[], text[], text[], bigint[], bigint[], text[], text[], bigint[],
    text[], text[], bytea[], text[], bigint[], bigint[], bigint[],
    uuid[], text[], text[], bigint[], text[], bigint[], timestamptz[], json[], json[]
) AS SELECT append({", ".join(f"${number}" for number in range(1, 28))})
"""
_BINARY = [Format.BINARY] * 27
_REFUSED = "SELECT outcome, tenant, subject, number FROM append_refused(%s, %s, %s, %s, %s)"
_IN_THE_WAY = ("FW409", "23505")
"""What `append` fails with when a stream has moved, or a stream or a command id exists already."""
_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SESSION = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
_WRITTEN = "SELECT position FROM event WHERE stream_id = %s AND stream_version = %s AND tenant_id = %s AND id = %s"
_ANSWER = (
    "SELECT fingerprint, stream_id, version, position, events FROM command WHERE tenant_id = %s AND command_id = %s"
)
_IDS = "SELECT uuid_send(id) FROM event WHERE position > %s AND position <= %s ORDER BY position"
# The SQL function's plans are cached while its tables are still empty: by what the planner sees then, it would scan them for ever. And
# they are kept: to plan the function's statements anew for each call, as Postgres would by itself, takes longer than to write a row.
# Whatever the database is set to, what is acknowledged is on disk, and whoever waited for the head sees what was committed meanwhile.
_SETTINGS = """
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan;
SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_ENSURE = "SELECT ensure_partitions((SELECT position FROM log_head WHERE shard = %s) + %s, %s)"


async def find_answer(connection: Connection, tenant_id: str, command_id: str, fingerprint: bytes) -> Appended | None:
    """The remembered answer of a command id, None if it is new. Raises CommandIdReused for another fingerprint."""
    row = await (await connection.execute(_ANSWER, (tenant_id, command_id))).fetchone()
    if row is None:
        return None
    if row[0] != fingerprint:
        raise CommandIdReused
    _, stream_id, version, position, events = row
    ids = await (await connection.execute(_IDS, (position - events, position))).fetchall()
    return Appended(stream_id, version, position, tuple(found for (found,) in ids), repeated=True)


class InTheWay(Exception):
    """Nothing was written: these streams have these versions instead of the expected ones, these command ids are known."""

    def __init__(self, moved: dict[StreamKey, int], known: list[CommandKey]) -> None:
        super().__init__(f"{len(moved)} streams have moved, {len(known)} command ids are known")
        self.moved, self.known = moved, known


class AppendConnection:
    """Opened when it is needed, again after it was lost. A call that fails without a word is one of `BROKEN`."""

    def __init__(self, database_url: str, shard: int, settings: Settings) -> None:
        self._url = database_url
        self._shard = shard
        self._settings = settings
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._prepared = False
        self._sent_in: Session | None = None

    async def call(self, plan: Plan) -> int:
        """One call of the SQL function `append`: the head before the plan.

        Raises InTheWay if anything speaks against it, ValueError or TypeError for data that cannot be sent.
        """
        self._sent_in = None
        parameters = append_parameters(plan)
        connection = await self._connected()
        if not self._prepared:
            await connection.execute(_PREPARE.encode())
            self._prepared = True
        self._sent_in = self._session
        crash_point("append.before_send")
        async with asyncio.timeout(self._settings.append_s_max):
            try:
                return await self._append(connection, parameters)
            except psycopg.Error as failure:
                if failure.sqlstate in _IN_THE_WAY:
                    await self._look_what_is_in_the_way(connection, plan)
                raise

    async def _append(self, connection: Connection, parameters: Sequence[bytes]) -> int:
        """The call itself, below psycopg's cursors: they take longer to prepare 27 parameters than Postgres takes to write a row."""
        head = self._shard.to_bytes(4, "big")
        async with connection.lock:
            connection.pgconn.send_query_prepared(_APPEND, [head, *parameters], _BINARY, result_format=Format.BINARY)
            # A session that is ended before it commits answers twice: the last word counts.
            *_, result = await connection.wait(generators.execute(connection.pgconn))
        value = result.get_value(0, 0) if result.status == ExecStatus.TUPLES_OK else None
        if value is None:
            raise psycopg.errors.error_from_result(result)
        return int.from_bytes(value, "big")

    async def _look_what_is_in_the_way(self, connection: Connection, plan: Plan) -> None:
        """Raises InTheWay if anything is."""
        cursor = await connection.execute(_REFUSED, refused_parameters(plan), prepare=True, binary=True)
        moved, known = {}, []
        for outcome, tenant, subject, number in await cursor.fetchall():
            if outcome == "conflict":
                moved[tenant, subject] = number
            else:
                known.append((tenant, subject))
        if moved or known:
            raise InTheWay(moved, known)

    def is_refusal(self, failure: Exception) -> bool:
        """Whether a call failed with a plain no, after which nothing is written.

        That is data that cannot be sent, or an error of the server on a connection that is still alive. A session that may not write at
        all says nothing about the data: another one may, once the server that leads has been found.
        """
        if isinstance(failure, psycopg.errors.ReadOnlySqlTransaction):
            return False
        if isinstance(failure, psycopg.Error):
            alive = self._connection is not None and not self._connection.closed
            return alive and failure.diag.severity_nonlocalized == "ERROR"
        return not isinstance(failure, BROKEN)

    async def find_out(self, plan: Plan) -> int | None:
        """After a lost connection: the head before the plan if it was written, None if it was not and never will be.

        Raises StoreUnavailable if the plan was not sent, OutcomeUnknown if it was, when that cannot be learned in time.
        """
        await self.close()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.store_retry_s_max
        pause_s = 0.02
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self._connected()
                    if self._sent_in is None:
                        return None
                    await self._end_session(connection, self._sent_in)
                    return await self._written(connection, plan)
            except BROKEN as again:
                await self.close()
                if clock() >= deadline:
                    if self._sent_in is None:
                        raise StoreUnavailable("The event store cannot be reached.") from again
                    unknown = "The connection was lost while committing; repeat with the same command id."
                    raise OutcomeUnknown(unknown) from again
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.5)

    async def _end_session(self, connection: Connection, session: Session) -> None:
        """Make sure that the lost session cannot commit any more: a paused backend would do so when it wakes."""
        while await (await connection.execute(_END_SESSION, session)).fetchone() is not None:
            await asyncio.sleep(0.01)

    async def _written(self, connection: Connection, plan: Plan) -> int | None:
        """The head before the plan, if its first event is in the log: all of it is there, or nothing."""
        written = ((append, write) for append in plan.appends for write in append.writes if write.events)
        for append, write in written:
            key = (write.stream_id, write.expected + 1, append.tenant_id, uuid_text(write.events[0].id))
            row = await (await connection.execute(_WRITTEN, key)).fetchone()
            return None if row is None else int(row[0]) - 1
        # No events: done again it gives the same answer.
        return None

    async def answer(self, append: Append) -> Appended:
        """What was answered to an append whose command id the log knows. Raises CommandIdReused."""
        assert append.command_id is not None
        connection = await self._connected()
        async with asyncio.timeout(self._settings.append_s_max):
            answer = await find_answer(connection, append.tenant_id, append.command_id, append.fingerprint)
        assert answer is not None, "a command id never disappears"
        return answer

    async def make_partitions(self, events: int) -> int | None:
        """Room for so many events and half a partition more: the first position without; None if it cannot be made now."""
        size = self._settings.partition_events
        try:
            connection = await self._connected()
            async with asyncio.timeout(self._settings.connect_s_max):
                row = await (await connection.execute(_ENSURE, (self._shard, events + size // 2, size))).fetchone()
        except (*BROKEN, psycopg.Error) as broken:
            log.warning("no new partition", error=type(broken).__name__)
            return None
        return None if row is None else int(row[0])

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        await self.close()
        async with asyncio.timeout(self._settings.connect_s_max):
            connection: Connection = await WatchedConnection.connect(self._url, autocommit=True)
            try:
                arrays.register(connection.adapters)
                await connection.execute(_SETTINGS)
                row = await (await connection.execute(_SESSION)).fetchone()
                assert row is not None
            except BaseException:
                await connection.close()
                raise
        self._connection, self._session, self._prepared = connection, (row[0], row[1]), False
        return connection

    async def close(self) -> None:
        connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            await connection.close()
