"""The event store on Postgres: appends through the group commit, reads through a pool that outlives a restart of the server.

Guarantee: as of the port in event_store.py; concurrent loads of streams share one query.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any, TypeVar

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.adapters import postgres_arrays as arrays
from infra.adapters.append_connection import find_answer
from infra.adapters.append_plan import Plan
from infra.adapters.appender import Appender
from infra.adapters.event_store import Append, Appended, Record, Records, Snapshot
from infra.adapters.postgres_connection import WatchedConnection
from infra.adapters.shared_load import SharedLoad
from infra.cancellation import end, unharmed
from infra.errors import Fault, StoreUnavailable
from infra.settings import Settings

T = TypeVar("T")

_SNAPSHOTS = """
SELECT s.tenant_id, s.stream_id, s.form, s.version, s.state
FROM unnest(%s, %s) AS w (tenant_id, stream_id)
JOIN stream_snapshot s ON s.tenant_id = w.tenant_id AND s.stream_id = w.stream_id
"""
_KEEP_SNAPSHOT = """
INSERT INTO stream_snapshot (tenant_id, stream_id, form, version, state) VALUES (%s, %s, %s, %s, %s::json)
ON CONFLICT (tenant_id, stream_id)
DO UPDATE SET form = EXCLUDED.form, version = EXCLUDED.version, state = EXCLUDED.state
WHERE (stream_snapshot.form, stream_snapshot.version) <> (EXCLUDED.form, EXCLUDED.version)
  AND (stream_snapshot.form < EXCLUDED.form OR stream_snapshot.version < EXCLUDED.version)
"""
Connection = psycopg.AsyncConnection[TupleRow]
StreamTail = tuple[str, str, int]
"""A tenant, a stream and the version after which its events are wanted."""

_COLUMNS = "e.position, e.id::text, e.tenant_id, e.stream_id, e.stream_version, e.type, e.schema_version, e.occurred_at, e.metadata, e.data"
# Each array stands in a query of its own: otherwise Postgres finds it worth while to plan this anew for each array.
_LOAD = f"""
SELECT {_COLUMNS}, w.after
FROM unnest((SELECT %s), (SELECT %s), (SELECT %s)) AS w (tenant_id, stream_id, after)
CROSS JOIN LATERAL (
    SELECT * FROM event e
    WHERE e.stream_id = w.stream_id AND e.stream_version > w.after AND e.tenant_id = w.tenant_id
    ORDER BY e.stream_version
) e
"""
# What is too much is not even unpacked. The sizes are those that Postgres stores: it packs large values.
_READ = f"""
SELECT * FROM (
    SELECT {_COLUMNS}, pg_column_size(e.data) AS size,
           sum(pg_column_size(e.data)) OVER (ORDER BY e.position ROWS UNBOUNDED PRECEDING) AS upto
    FROM event e WHERE {{where}} ORDER BY e.position LIMIT %s
) found WHERE upto - size < %s ORDER BY position
"""
_OPEN_S = 0.5
_HEAD = "SELECT position FROM log_head WHERE shard = %s"
_CLOSED = "The process is stopping."
_FIRST = "SELECT COALESCE((SELECT position FROM event ORDER BY position LIMIT 1), 1)"


def open_pool(database_url: str, size_max: int, connect_s_max: float = 5.0) -> AsyncConnectionPool[Connection]:
    """A pool whose connections speak binary arrays and give json columns as bytes; not yet opened."""

    async def configure(connection: Connection) -> None:
        arrays.register(connection.adapters)
        # A plan that is cached while a table is still empty would scan it for ever; everything here goes by an index.
        await connection.execute("SET enable_seqscan = off")
        await connection.execute("SET timezone = 'UTC'")
        as_bytes = psycopg.adapters.get_loader(psycopg.adapters.types["bytea"].oid, psycopg.pq.Format.BINARY)
        assert as_bytes is not None
        connection.adapters.register_loader("json", as_bytes)

    return AsyncConnectionPool(
        database_url,
        connection_class=WatchedConnection,
        min_size=1,
        max_size=size_max,
        open=False,
        configure=configure,
        # A connection that was begun while nobody answered would be waited for long after somebody does again.
        kwargs={"autocommit": True, "prepare_threshold": 1, "connect_timeout": ceil(connect_s_max)},
        timeout=2.0,
        reconnect_timeout=0.0,
    )


async def opened_pool(database_url: str, size_max: int, settings: Settings) -> AsyncConnectionPool[Connection]:
    """An open pool, with a server that may be starting. Raises StoreUnavailable when it does not answer in time.

    A pool gives up for good when its first connection is refused, so it is a new one for each attempt; over a long line it takes a while
    to connect, so each attempt may take longer than the one before.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + settings.store_retry_s_max
    open_s = _OPEN_S
    while True:
        pool = open_pool(database_url, size_max, settings.connect_s_max)
        try:
            await pool.open(wait=True, timeout=min(open_s, max(_OPEN_S, deadline - clock())))
            return pool
        except PoolTimeout as late:
            await pool.close()
            if clock() >= deadline:
                raise StoreUnavailable("Postgres cannot be reached.") from late
            open_s *= 2


class PostgresEventStore:
    """One per process; `open` it inside the running loop."""

    def __init__(self, database_url: str, settings: Settings, pool: AsyncConnectionPool[Connection]) -> None:
        self.shard = settings.shard
        self._settings = settings
        self._pool = pool
        self._asking: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._appender = Appender(database_url, settings.shard, settings)
        self.submit = self._appender.submit
        self._streams = SharedLoad(self._load_many, settings.load_streams_max)
        self._snapshots = SharedLoad(self._snapshots_of, settings.load_streams_max)

    @classmethod
    async def open(cls, database_url: str, settings: Settings) -> "PostgresEventStore":
        """Raises StoreUnavailable if the server does not answer in time."""
        pool = await opened_pool(database_url, settings.read_connections_max, settings)
        return cls(database_url, settings, pool)

    @property
    def died(self) -> "asyncio.Future[None]":
        """Raises when the appender has broken down: the process must end."""
        return self._appender.died

    @property
    def on_append(self) -> Callable[[Plan, int], None] | None:
        """Called after each group commit, with the head of the log before it; for example to wake the relay."""
        return self._appender.on_append

    @on_append.setter
    def on_append(self, call: Callable[[Plan, int], None]) -> None:
        self._appender.on_append = call

    async def append(self, append: Append) -> Appended:
        return await self._appender.submit(append)

    async def load(self, tenant_id: str, stream_id: str, after: int = 0) -> list[Record]:
        return await self._streams.get((tenant_id, stream_id, after)) or []

    async def _load_many(self, keys: Sequence[StreamTail]) -> dict[StreamTail, list[Record]]:
        parameters = (
            arrays.texts([tenant_id for tenant_id, _, _ in keys]),
            arrays.texts([stream_id for _, stream_id, _ in keys]),
            arrays.bigints([after for _, _, after in keys]),
        )
        found: dict[StreamTail, list[Record]] = {key: [] for key in keys}
        for row in await self._rows(_LOAD, parameters):
            found[row[2], row[3], row[-1]].append(Record(*row[:-1]))
        return found

    async def read(
        self,
        after: int,
        limit: int,
        *,
        tenant_id: str | None = None,
        types: Sequence[str] | None = None,
        stream_id: str | None = None,
        until: int | None = None,
    ) -> Records:
        wheres, parameters = ["e.position > %s"], [after]
        filters: list[tuple[str, Any]] = [
            ("e.position <= %s", until),
            ("e.tenant_id = %s", tenant_id),
            ("e.type = ANY (%s)", list(types) if types is not None else None),
            ("e.stream_id = %s", stream_id),
        ]
        for where, value in filters:
            if value is not None:
                wheres.append(where)
                parameters.append(value)
        bytes_max = self._settings.read_bytes_max
        query = _READ.format(where=" AND ".join(wheres))
        rows = await self._rows(query, (*parameters, limit, bytes_max))
        records = Records(Record(*row[:-2]) for row in rows)
        records.complete = not rows or rows[-1][-1] < bytes_max
        return records

    async def _rows(self, query: str, parameters: Sequence[Any]) -> list[TupleRow]:
        async def fetch(connection: Connection) -> list[TupleRow]:
            return await (await connection.execute(query.encode(), parameters, binary=True)).fetchall()

        return await self._with_connection(fetch)

    async def head(self) -> int:
        return await self._one(_HEAD, (self.shard,))

    async def first_position(self) -> int:
        return await self._one(_FIRST, ())

    async def _one(self, query: str, parameters: Sequence[Any]) -> int:
        async def fetch(connection: Connection) -> int:
            row = await (await connection.execute(query.encode(), parameters)).fetchone()
            assert row is not None
            return int(row[0])

        return await self._with_connection(fetch)

    async def answer(self, tenant_id: str, command_id: str, fingerprint: bytes) -> Appended | None:
        return await self._with_connection(lambda c: find_answer(c, tenant_id, command_id, fingerprint))

    async def snapshot(self, tenant_id: str, stream_id: str) -> Snapshot | None:
        return await self._snapshots.get((tenant_id, stream_id))

    async def _snapshots_of(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Snapshot]:
        tenant_ids, stream_ids = zip(*keys, strict=True)
        rows = await self._rows(_SNAPSHOTS, (arrays.texts(tenant_ids), arrays.texts(stream_ids)))
        return {(tenant_id, stream_id): Snapshot(*kept) for tenant_id, stream_id, *kept in rows}

    async def keep_snapshot(self, tenant_id: str, stream_id: str, snapshot: Snapshot) -> None:
        async def keep(connection: Connection) -> None:
            parameters = (tenant_id, stream_id, snapshot.form, snapshot.version, snapshot.state.decode())
            await connection.execute(_KEEP_SNAPSHOT, parameters)

        await self._with_connection(keep)

    async def _with_connection(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask with a pooled connection, whatever becomes of who asks. For reads only.

        A pool whose users are cancelled, many at once and again and again, can lose connections for good: nobody is cancelled in there.
        """
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        asking = asyncio.create_task(self._asked(ask))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        try:
            return await unharmed(asking)
        except asyncio.CancelledError:
            if self._closed and asking.cancelled():
                # Not who asks was cancelled, but the question.
                raise StoreUnavailable(_CLOSED) from None
            raise

    async def _asked(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask, again with another connection while the server restarts, within a bounded time."""
        deadline = asyncio.get_running_loop().time() + self._settings.store_retry_s_max
        while True:
            try:
                async with self._pool.connection() as connection, asyncio.timeout(self._settings.read_s_max):
                    return await ask(connection)
            except Fault:
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError) as broken:
                if asyncio.get_running_loop().time() > deadline:
                    raise StoreUnavailable("The event store cannot be reached.") from broken
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Whoever still waits is told."""
        self._closed = True
        await self._appender.close()
        await end(*self._asking)
        await self._pool.close()
