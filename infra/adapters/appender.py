"""Group commit: while one append is in flight the next ones gather, and go together in one call.

Guarantee: what is acknowledged is on disk; a version conflict fails only its own append; after a lost connection the outcome is
found out before anything is sent again; if this task dies, everyone who waits is told and `died` is set.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
import structlog

from infra.adapters import postgres_arrays as arrays
from infra.adapters.append_plan import Plan, StreamKey, survivors
from infra.adapters.event_store import Append, Appended, event_count, event_ids, own_version
from infra.errors import CommandIdReused, OutcomeUnknown, Overloaded, StoreUnavailable
from infra.faults import crash_point
from infra.ids import uuid_text
from infra.settings import Settings

log = structlog.get_logger()

Waiting = tuple[Append, asyncio.Future[Appended]]

_APPEND = f"SELECT outcome, tenant, subject, number FROM append(%s{', %s' * 20})"
_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SESSION = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
_WRITTEN = "SELECT position FROM event WHERE stream_id = %s AND stream_version = %s AND tenant_id = %s AND id = %s"
_ANSWER = (
    "SELECT fingerprint, stream_id, version, position, events FROM command WHERE tenant_id = %s AND command_id = %s"
)
_IDS = "SELECT uuid_send(id) FROM event WHERE position > %s AND position <= %s ORDER BY position"
_BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, OSError, TimeoutError)


async def find_answer(
    connection: psycopg.AsyncConnection[Any], tenant_id: str, command_id: str, fingerprint: bytes
) -> Appended | None:
    """The remembered answer of a command id, None if it is new. Raises CommandIdReused for another fingerprint."""
    row = await (await connection.execute(_ANSWER, (tenant_id, command_id))).fetchone()
    if row is None:
        return None
    if row[0] != fingerprint:
        raise CommandIdReused
    _, stream_id, version, position, events = row
    ids = await (await connection.execute(_IDS, (position - events, position))).fetchall()
    return Appended(stream_id, version, position, tuple(found for (found,) in ids), repeated=True)


class Appender:
    """One per process: the only writer of its connection."""

    def __init__(self, database_url: str, shard: int, settings: Settings) -> None:
        self._url = database_url
        self._shard = shard
        self._settings = settings
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._session: tuple[int, Any] | None = None
        self._waiting: deque[Waiting] = deque()
        self._futures: dict[int, asyncio.Future[Appended]] = {}
        self._wake = asyncio.Event()
        self._partition_end = 0
        self.on_append: Callable[[], None] | None = None
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="appender")

    def submit(self, append: Append) -> "asyncio.Future[Appended]":
        """Queue an append; the future gives the answer. Raises Overloaded when too many wait."""
        if self._task.done():
            raise StoreUnavailable("The appender of this process has ended.")
        if len(self._waiting) >= self._settings.append_queue_max:
            raise Overloaded("Too many commands wait to be written; try again shortly.")
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append((append, future))
        self._wake.set()
        return future

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    async def _run(self) -> None:
        try:
            while True:
                while not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                plan = self._gather()
                try:
                    await self._commit(plan)
                except (StoreUnavailable, OutcomeUnknown) as fault:
                    self._fail(fault, plan.appends)
        except asyncio.CancelledError:
            self._fail(StoreUnavailable("The process is stopping."), ())
            raise
        except BaseException as cause:
            log.critical("appender died", error=repr(cause))
            broken = OutcomeUnknown("The appender of this process broke down.")
            broken.__cause__ = cause
            self._fail(broken, ())
            if not self.died.done():
                self.died.set_exception(broken)

    def _gather(self) -> Plan:
        """Everything that waits and fits together, up to the bounds; what must wait keeps its place."""
        plan, held = Plan(), deque[Waiting]()
        events_max, bytes_left = self._settings.append_events_max, self._settings.append_bytes_max
        while self._waiting and plan.events < events_max and bytes_left > 0:
            append, future = self._waiting.popleft()
            if future.done():
                continue
            if plan.admit(append):
                self._futures[id(append)] = future
                bytes_left -= sum(len(event.data) for write in append.writes for event in write.events)
            else:
                held.append((append, future))
        self._waiting.extendleft(reversed(held))
        return plan

    async def _commit(self, plan: Plan) -> None:
        """Bring a plan to its end; each call either writes it or shows who has to leave it."""
        while plan.appends:
            try:
                rows = await self._call(plan)
            except _BROKEN as broken:
                head = await self._find_out(plan, broken)
                if head is None:
                    continue
                rows = [("appended", None, None, head)]
            except psycopg.Error as refused:
                plan = await self._isolate(plan, refused)
                continue
            if rows[0][0] == "appended":
                crash_point("append.after_commit")
                self._acknowledge(plan, rows[0][3])
                if self.on_append is not None:
                    self.on_append()
                await self._keep_partitions(rows[0][3] + plan.events)
                return
            plan = await self._without_refused(plan, rows)

    async def _call(self, plan: Plan) -> list[tuple[Any, ...]]:
        connection = await self._connected()
        crash_point("append.before_send")
        async with asyncio.timeout(self._settings.append_s_max):
            cursor = await connection.execute(_APPEND, (self._shard, *_parameters(plan)), prepare=True, binary=True)
            return await cursor.fetchall()

    def _acknowledge(self, plan: Plan, head: int) -> None:
        for append in plan.appends:
            head += event_count(append)
            future = self._futures.pop(id(append))
            if not future.done():
                stream_id = append.writes[0].stream_id
                future.set_result(Appended(stream_id, own_version(append), head, event_ids(append)))

    async def _without_refused(self, plan: Plan, rows: Iterable[tuple[Any, ...]]) -> Plan:
        """Answer those that the log refused; the rest goes again at once."""
        moved: dict[StreamKey, int] = {}
        known: list[tuple[str, str]] = []
        for outcome, tenant, subject, number in rows:
            if outcome == "conflict":
                moved[tenant, subject] = number
            else:
                known.append((tenant, subject))
        going, conflicts, answered = survivors(plan, moved, known)
        for append, reason in conflicts:
            self._settle(append, reason)
        for append in answered:
            await self._answer_again(append)
        rest = Plan()
        for append in going:
            if not rest.admit(append):
                self._waiting.appendleft((append, self._futures.pop(id(append))))
        return rest

    async def _answer_again(self, append: Append) -> None:
        connection = await self._connected()
        assert append.command_id is not None
        try:
            answer = await find_answer(connection, append.tenant_id, append.command_id, append.fingerprint)
            assert answer is not None, "a command id never disappears"
            self._settle(append, answer)
        except CommandIdReused as reused:
            self._settle(append, reused)

    async def _isolate(self, plan: Plan, refused: psycopg.Error) -> Plan:
        """The database refuses something in this plan: one alone fails, several are tried in halves."""
        if len(plan.appends) == 1:
            fault = StoreUnavailable("The database refused this append; nothing was recorded.")
            fault.__cause__ = refused
            log.error("append refused", error=type(refused).__name__, sqlstate=refused.sqlstate)
            self._settle(plan.appends[0], fault)
            return Plan()
        half = Plan()
        rest: list[Waiting] = []
        for append in plan.appends:
            if len(half.appends) >= len(plan.appends) // 2 or not half.admit(append):
                rest.append((append, self._futures.pop(id(append))))
        self._waiting.extendleft(reversed(rest))
        return half

    async def _find_out(self, plan: Plan, broken: BaseException) -> int | None:
        """After a lost connection: the head before the plan if it was written, None if it was not and never will be."""
        log.warning("connection lost while appending", error=type(broken).__name__)
        sent, session = self._connection is not None, self._session
        await self._disconnect()
        first = next((a, w) for a in plan.appends for w in a.writes if w.events)
        deadline = asyncio.get_running_loop().time() + self._settings.store_retry_s_max
        pause_s = 0.02
        while True:
            try:
                connection = await self._connected()
                if not sent:
                    return None
                if session is not None:
                    await self._end_session(connection, session)
                append, write = first
                key = (write.stream_id, write.expected + 1, append.tenant_id, uuid_text(write.events[0].id))
                row = await (await connection.execute(_WRITTEN, key)).fetchone()
                return None if row is None else int(row[0]) - 1
            except _BROKEN as again:
                await self._disconnect()
                if asyncio.get_running_loop().time() > deadline:
                    unknown = OutcomeUnknown(
                        "The connection was lost while committing; repeat with the same command id."
                    )
                    raise (unknown if sent else StoreUnavailable("The event store cannot be reached.")) from again
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.5)

    async def _end_session(self, connection: psycopg.AsyncConnection[Any], session: tuple[int, Any]) -> None:
        """Make sure that the lost session cannot commit any more: a paused backend would do so when it wakes."""
        while await (await connection.execute(_END_SESSION, session)).fetchone() is not None:
            await asyncio.sleep(0.01)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            connecting = psycopg.AsyncConnection.connect(self._url, autocommit=True)
            connection = await asyncio.wait_for(connecting, self._settings.connect_s_max)
            arrays.register(connection.adapters)
            row = await (await connection.execute(_SESSION)).fetchone()
            assert row is not None
            self._connection, self._session = connection, (row[0], row[1])
        return self._connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._connection = self._session = None

    async def _keep_partitions(self, position: int) -> None:
        size = self._settings.partition_events
        if position + size // 2 < self._partition_end:
            return
        connection = await self._connected()
        row = await (
            await connection.execute("SELECT ensure_partitions(%s, %s)", (position + size // 2, size))
        ).fetchone()
        assert row is not None
        self._partition_end = row[0]

    def _settle(self, append: Append, answer: Appended | Exception) -> None:
        future = self._futures.pop(id(append))
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _fail(self, fault: Exception, appends: Iterable[Append]) -> None:
        """Fail these appends, or everyone that waits when none are named."""
        named = [self._futures.pop(id(append)) for append in appends if id(append) in self._futures]
        if not named:
            named = [*self._futures.values(), *(future for _, future in self._waiting)]
            self._futures.clear()
            self._waiting.clear()
        for future in named:
            if not future.done():
                future.set_exception(fault)


def _parameters(plan: Plan) -> tuple[bytes, ...]:
    """A plan as the arrays of the SQL function `append`."""
    streams = list(plan.before.items())
    e_id: list[bytes] = []
    e_tenant: list[str] = []
    e_stream: list[str] = []
    e_version: list[int] = []
    e_type: list[str] = []
    e_schema: list[int] = []
    e_at: list[Any] = []
    e_metadata: list[bytes] = []
    e_data: list[bytes] = []
    commands: list[tuple[str, str, bytes, str, int, int, int]] = []
    for append in plan.appends:
        tenant, count = append.tenant_id, 0
        for write in append.writes:
            stream_id, version = write.stream_id, write.expected
            for event in write.events:
                version += 1
                count += 1
                e_id.append(event.id)
                e_tenant.append(tenant)
                e_stream.append(stream_id)
                e_version.append(version)
                e_type.append(event.type)
                e_schema.append(event.schema_version)
                e_at.append(append.occurred_at)
                e_metadata.append(append.metadata)
                e_data.append(event.data)
        if append.command_id is not None:
            own = (append.writes[0].stream_id, own_version(append), len(e_id), count)
            commands.append((tenant, append.command_id, append.fingerprint, *own))
    return (
        arrays.texts([tenant for (tenant, _), _ in streams]),
        arrays.texts([stream_id for (_, stream_id), _ in streams]),
        arrays.bigints([version for _, version in streams]),
        arrays.bigints([plan.after[key] - version for key, version in streams]),
        arrays.texts([command[0] for command in commands]),
        arrays.texts([command[1] for command in commands]),
        arrays.blobs([command[2] for command in commands]),
        arrays.texts([command[3] for command in commands]),
        arrays.bigints([command[4] for command in commands]),
        arrays.bigints([command[5] for command in commands]),
        arrays.bigints([command[6] for command in commands]),
        arrays.uuids(e_id),
        arrays.texts(e_tenant),
        arrays.texts(e_stream),
        arrays.bigints(e_version),
        arrays.texts(e_type),
        arrays.bigints(e_schema),
        arrays.times(e_at),
        arrays.jsons(e_metadata),
        arrays.jsons(e_data),
    )
