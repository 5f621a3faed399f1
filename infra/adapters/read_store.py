"""Answers questions about read models, and waits until they have seen a position."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from infra.adapters.checkpoints import ConsumerStatus
from infra.adapters.postgres_store import Connection, opened_pool
from infra.adapters.read_table import ReadTable
from infra.adapters.shared_load import SharedLoad
from infra.errors import Fault, StoreUnavailable
from infra.patterns.projection import Key, Projection, Row
from infra.settings import Settings

R = TypeVar("R", bound=Row)

_POSITIONS = "SELECT consumer, position FROM checkpoint WHERE shard = %s"
_CONSUMERS = "SELECT consumer, shard, kind, position, paused, rebuild FROM checkpoint ORDER BY kind, consumer"
_BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError)


class NotYetVisible(Fault):
    """The read model has not seen that position in time; ask again."""

    status = 504


class NotYetRebuilt(Fault):
    """The read model still has the shape of an older version, and is being rebuilt; ask again."""


class ReadStore:
    """One per process of the read side. `seen` may be called with news of consumers' positions, which saves asking for them.

    `losses` counts how often Postgres was lost, and with it, maybe, what was known of positions.
    """

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Connection]) -> None:
        self._settings = settings
        self._pool = pool
        self._positions: dict[str, int] = {}
        self.losses = 0
        self._waiters: dict[str, dict[asyncio.Future[None], int]] = {}
        self._polling: asyncio.Task[None] | None = None
        self._tables: dict[str, ReadTable[Any]] = {}
        self._rows: dict[str, SharedLoad[Key, Any]] = {}

    @classmethod
    async def open(cls, database_url: str, settings: Settings) -> "ReadStore":
        """Raises StoreUnavailable if the server does not answer in time."""
        return cls(settings, await opened_pool(database_url, settings.query_connections_max, settings))

    async def close(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        await self._pool.close()

    def _table(self, projection: Projection[R]) -> ReadTable[R]:
        table = self._tables.get(projection.name)
        if table is None:
            table = self._tables[projection.name] = ReadTable.of(projection)
        return table

    async def _fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Ask, again while the server restarts; a model that no projector has made yet is empty."""
        deadline = asyncio.get_running_loop().time() + self._settings.query_retry_s_max
        while True:
            try:
                async with self._pool.connection() as connection, asyncio.timeout(self._settings.read_s_max):
                    return await self._ask(connection, query, parameters)
            except psycopg.errors.UndefinedTable:
                return []
            except psycopg.errors.UndefinedColumn as older:
                raise NotYetRebuilt from older
            except (psycopg.errors.FeatureNotSupported, *_BROKEN) as broken:
                # Projections commit without waiting for the disk: a server that crashed may have lost the last of what was announced.
                self._positions.clear()
                self.losses += 1
                if asyncio.get_running_loop().time() > deadline:
                    raise StoreUnavailable("The read models cannot be reached.") from broken
                await asyncio.sleep(0.05)

    async def _ask(self, connection: Connection, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return await (await connection.execute(query.encode(), parameters)).fetchall()
        except psycopg.errors.FeatureNotSupported:
            # The statement was prepared for a table that was rebuilt in another shape: only another connection forgets it.
            await connection.close()
            raise

    async def get(self, projection: Projection[R], key: Key) -> R | None:
        """One row by its key; rows that are asked for at the same moment share a query."""
        rows = self._rows.get(projection.name)
        if rows is None:
            load_many = partial(self._load_many, self._table(projection))
            rows = self._rows[projection.name] = SharedLoad(load_many, self._settings.page_size_max)
        return await rows.get(key)

    async def _load_many(self, table: ReadTable[R], keys: Sequence[Key]) -> dict[Key, R]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = [table.row(values) for values in await self._fetch(table.load(), columns)]
        return {tuple(getattr(row, column) for column in table.projection.key): row for row in rows}

    async def page(
        self,
        projection: Projection[R],
        tenant_id: str,
        equals: Mapping[str, str | int | bool],
        order: Sequence[str],
        after: Key | None,
        limit: int,
        contains: Mapping[str, str] | None = None,
        members: Mapping[str, tuple[str, str]] | None = None,
        descending: bool = False,
    ) -> list[R]:
        """Up to `limit` rows after a key in `order`, or before it if `descending`.

        `contains` asks for a value inside a list column, `members` for a member of an object column with this text.
        """
        table = self._table(projection)
        wheres, parameters = ["t.tenant_id = %s"], [tenant_id, *equals.values()]
        wheres.extend(f't."{column}" = %s' for column in equals)
        for column, value in (contains or {}).items():
            wheres.append(f't."{column}" ? %s')
            parameters.append(value)
        for column, (member, text) in (members or {}).items():
            wheres.append(f't."{column}" ->> %s = %s')
            parameters.extend((member, text))
        columns = ", ".join(f't."{column}"' for column in order)
        sequence = ", ".join(f't."{column}"{" DESC" if descending else ""}' for column in order)
        if after is not None:
            wheres.append(f"({columns}) {'<' if descending else '>'} ({', '.join('%s' for _ in order)})")
            parameters.extend(after)
        select = f'SELECT {table.select_list} FROM "{table.name}" t'
        query = f"{select} WHERE {' AND '.join(wheres)} ORDER BY {sequence} LIMIT %s"
        return [table.row(values) for values in await self._fetch(query, (*parameters, limit))]

    async def count_by(
        self, projection: Projection[Any], tenant_id: str, columns: Sequence[str], sums: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Rows counted by columns, with sums: `[{"status": "queued", "count": 3, "wait_ms": 120}, ...]`."""
        table = self._table(projection)
        names = ", ".join(f't."{column}"' for column in columns)
        totals = "".join(f', COALESCE(sum(t."{column}"), 0)::text' for column in sums)
        group = f"GROUP BY {names} ORDER BY {names}" if columns else ""
        select = f'SELECT {names}{", " if columns else ""}count(*){totals} FROM "{table.name}" t'
        rows = await self._fetch(f"{select} WHERE t.tenant_id = %s {group}", (tenant_id,))
        found: list[dict[str, Any]] = []
        for row in rows:
            named: dict[str, Any] = dict(zip(columns, row, strict=False))
            named["count"] = row[len(columns)]
            named.update((column, int(Decimal(row[len(columns) + 1 + at]))) for at, column in enumerate(sums))
            found.append(named)
        return found

    async def spread_of(self, projection: Projection[Any], tenant_id: str, column: str) -> dict[str, Any]:
        """How a column's values are spread: count, mean, p50, p95 and max, in its own unit."""
        table, value = self._table(projection), f't."{column}"'
        shares = ", ".join(f"percentile_cont({share}) WITHIN GROUP (ORDER BY {value})" for share in ("0.5", "0.95"))
        select = f'SELECT count({value}), avg({value})::float8, {shares}, max({value})::float8 FROM "{table.name}" t'
        rows = await self._fetch(f"{select} WHERE t.tenant_id = %s", (tenant_id,))
        values = rows[0] if rows else (0, None, None, None, None)
        return dict(zip(("count", "mean", "p50", "p95", "max"), values, strict=True))

    async def consumers(self) -> list[ConsumerStatus]:
        return [ConsumerStatus(*row) for row in await self._fetch(_CONSUMERS, ())]

    async def position(self, consumer: str) -> int:
        """A position that a consumer has reached for sure; it may be further by now."""
        if consumer not in self._positions:
            await self._refresh()
        return self._positions.get(consumer, 0)

    def seen(self, consumer: str, position: int) -> None:
        """News: a consumer has come this far."""
        if position <= self._positions.get(consumer, 0):
            return
        self._positions[consumer] = position
        for future, wanted in self._waiters.get(consumer, {}).items():
            if wanted <= position and not future.done():
                future.set_result(None)

    async def wait_for(self, consumer: str, position: int, timeout_s: float) -> None:
        """Return when a consumer has come to `position`. Raises NotYetVisible."""
        if self._positions.get(consumer, 0) >= position:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiters.setdefault(consumer, {})
        waiting[future] = position
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            reached = self._positions.get(consumer, 0)
            raise NotYetVisible(f"{consumer} is at position {reached} and has not seen {position} yet.") from None
        finally:
            del waiting[future]

    async def _poll(self) -> None:
        """While anyone waits: ask for positions, in case the news does not come."""
        while any(self._waiters.values()):
            try:
                await self._refresh()
            except Fault:
                await asyncio.sleep(0.5)
            await asyncio.sleep(self._settings.visibility_poll_s)

    async def _refresh(self) -> None:
        for consumer, position in await self._fetch(_POSITIONS, (self._settings.shard,)):
            self.seen(consumer, position)
