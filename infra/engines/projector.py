"""The projector: keeps the table of one read model as a consumer of the log.

Guarantee: that of the consumer; rows are read once, folded in memory and written once for each batch.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import psycopg
from pydantic import ValidationError

from events.envelope import Envelope
from events.event import Event
from infra.adapters.breakdown import is_breakdown
from infra.adapters.checkpoints import BEHIND_PARKED, Checkpoints, Effect, park
from infra.adapters.event_store import EventStore, Record
from infra.adapters.read_table import ReadTable
from infra.engines.feed import read_ahead
from infra.engines.poison import Poison, cause_of
from infra.patterns.projection import Key, Projection, Row
from infra.settings import Settings

Connection = psycopg.AsyncConnection[Any]


_REBUILD = "UPDATE checkpoint SET rebuild = true WHERE consumer = %s AND shard = %s"


class Decoder(Protocol):
    """What consumers need of events/catalog.py."""

    def decode(self, type: str, schema_version: int, data: bytes | dict[str, Any]) -> Event: ...


def to_envelope(record: Record, decoder: Decoder) -> Envelope[Any]:
    """A record with its event decoded. Raises what the decoder raises."""
    event = decoder.decode(record.type, record.schema_version, record.data)
    return Envelope(
        record.position,
        record.id,
        record.tenant_id,
        record.stream_id,
        record.stream_version,
        record.occurred_at,
        event,
        record.metadata,
    )


class Projector:
    """A consumer's handler. Holds rows that it touched lately: nobody else writes them while it has the lease."""

    kind = "projection"
    follows = False

    def __init__(self, projection: Projection[Any], store: EventStore, decoder: Decoder, settings: Settings) -> None:
        self.name = projection.name
        self.version = projection.version
        self.types = frozenset(event.type for event in projection.handles)
        self._projection = projection
        self._store = store
        self._decoder = decoder
        self._settings = settings
        self._table = ReadTable.of(projection)
        self._rows: OrderedDict[Key, Row | None] = OrderedDict()

    async def begin(self, connection: Connection, position: int) -> None:
        self._rows.clear()
        found = await (await connection.execute("SELECT to_regclass(%s)", (f'"{self._table.name}"',))).fetchone()
        if found is None or found[0] is None:
            await connection.execute(self._table.create().encode())
            if position:
                # It was there once. Without it the rows of all that came before would be missing for good.
                await connection.execute(_REBUILD, (self.name, self._store.shard))

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        return await self._fold(connection, self._table, records)

    async def end(self) -> None:
        """Nothing is under way between two batches."""

    async def rebuild(self, connection: Connection, position: int) -> int:
        """Fill a new table from position 0 beside the old one, which answers meanwhile, and put it in its place.

        What cannot be handled is parked, as it would be if it came now.
        """
        beside = ReadTable.of(self._projection, f"{self._projection.name}__rebuilt")
        await connection.execute(f'DROP TABLE IF EXISTS "{beside.name}"'.encode())
        await connection.execute(beside.create().encode())
        self._rows.clear()
        blocked: set[tuple[str, str]] = set()
        size = self._settings.catch_up_batch_events_max
        async for records, _ in read_ahead(self._store, 0, position, list(self.types), size):
            await self._fold_or_park(connection, beside, records, blocked)
        await connection.execute(f'DROP TABLE IF EXISTS "{self._table.name}"'.encode())
        await connection.execute(f'ALTER TABLE "{beside.name}" RENAME TO "{self._table.name}"'.encode())
        return position

    async def _fold_or_park(
        self, connection: Connection, table: ReadTable[Any], records: Sequence[Record], blocked: set[tuple[str, str]]
    ) -> None:
        """Fold what can be folded, half by half until what cannot is found; park that, and what follows in its stream."""
        checkpoints = Checkpoints(self.name, self._store.shard, self.version, self.kind)
        behind = [record for record in records if (record.tenant_id, record.stream_id) in blocked]
        if behind:
            await checkpoints.write(connection, 0, [park([(record, BEHIND_PARKED) for record in behind])])
        healthy = [record for record in records if (record.tenant_id, record.stream_id) not in blocked]
        try:
            async with connection.transaction():
                await checkpoints.write(connection, 0, await self._fold(connection, table, healthy))
            return
        except (Poison, psycopg.Error) as refused:
            if is_breakdown(refused):
                raise
            cause = cause_of(refused)
        self._rows.clear()
        if len(healthy) == 1:
            await checkpoints.write(connection, 0, [park([(healthy[0], cause)])])
            blocked.add((healthy[0].tenant_id, healthy[0].stream_id))
            return
        middle = len(healthy) // 2
        for part in (healthy[:middle], healthy[middle:]):
            await self._fold_or_park(connection, table, part, blocked)

    async def _fold(self, connection: Connection, table: ReadTable[Any], records: Sequence[Record]) -> list[Effect]:
        """What these events make of the rows that they touch."""
        located: list[tuple[Record, Envelope[Any], Key]] = []
        for record in records:
            try:
                envelope = to_envelope(record, self._decoder)
                located.append((record, envelope, self._projection.locate(envelope)))
            except Exception as cause:
                raise Poison(record) from cause
        rows = self._rows
        if not self._projection.one_row_per_event:
            unreadable = await self._load(connection, table, {key for _, _, key in located if key not in rows})
            for record, _, key in located:
                if key in unreadable:
                    raise Poison(record) from unreadable[key]
        project = self._projection.project
        changed: dict[Key, Row | None] = {}
        for record, envelope, key in located:
            try:
                row = project(envelope, rows.get(key))
            except Exception as cause:
                raise Poison(record) from cause
            rows[key] = changed[key] = row
        kept = [row for row in changed.values() if row is not None]
        gone = [key for key, row in changed.items() if row is None]
        saved = [table.save(kept)] if kept else []
        self._let_go(changed, sum([len(each.parameters[0]) for each in saved]))
        return [*saved, *([table.delete(gone)] if gone else ())]

    def _let_go(self, touched: Collection[Key], size: int) -> None:
        """Hold no more rows than may be, and of those just touched none if they are large: `size` is that of all of them as JSON."""
        rows = self._rows
        if self._projection.one_row_per_event or size > len(touched) * self._settings.projector_row_bytes_max:
            for key in touched:
                del rows[key]
        while len(rows) > self._settings.projector_rows_max:
            rows.popitem(last=False)

    async def _load(self, connection: Connection, table: ReadTable[Any], keys: set[Key]) -> dict[Key, ValidationError]:
        """Hold the rows of these keys; gives those that cannot be read, with the reason."""
        unreadable: dict[Key, ValidationError] = {}
        if not keys:
            return unreadable
        columns = [list(column) for column in zip(*keys, strict=True)]
        cursor = await connection.execute(table.load().encode(), columns)
        self._rows.update(dict.fromkeys(keys))
        size = len(self._projection.key)
        positions = [list(table.columns).index(column) for column in self._projection.key]
        for values in await cursor.fetchall():
            key = tuple(values[position] for position in positions)
            assert len(key) == size
            try:
                self._rows[key] = table.row(values)
            except ValidationError as reason:
                del self._rows[key]
                unreadable[key] = reason
        return unreadable
