"""The table of a read model is derived from its row class, and rows come back from it as they were saved."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import psycopg
import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from events.envelope import Envelope
from infra.adapters.checkpoints import Checkpoints
from infra.adapters.postgres_store import open_pool
from infra.adapters.read_table import ReadTable
from infra.patterns.projection import Key, Projection, Row

NOW = datetime(2026, 5, 4, 3, 2, 1, 7, UTC)


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    sizes: tuple[int, ...] = ()


class ThingRow(Row):
    tenant_id: str
    thing_id: str
    number: int
    status: Literal["new", "used"] = "new"
    label: str | None = None
    count: Annotated[int, Field(ge=0)] = 0
    ratio: float | None = None
    active: bool = False
    made_at: datetime = NOW
    lost_at: datetime | None = None
    parts: tuple[Part, ...] = ()
    by_name: dict[str, int] = {}
    anything: JsonValue = None
    order: str = "a word that SQL has for itself"


def unused(*_: Any) -> Any:
    raise AssertionError


def locate(envelope: Envelope[Any]) -> Key:
    raise AssertionError


THINGS = Projection(
    "thing_board", 1, ThingRow, ("tenant_id", "thing_id", "number"), (), locate, unused, (("tenant_id", "status"),)
)
TABLE = ReadTable.of(THINGS)
CHECKPOINTS = Checkpoints("thing_board", 0, 1, "projection")


def row(thing_id: str = "t1", number: int = 1, tenant_id: str = "acme", **fields: Any) -> ThingRow:
    return ThingRow(tenant_id=tenant_id, thing_id=thing_id, number=number, **fields)


class TestTheColumns:
    def test_are_plain_where_there_is_a_plain_type_and_json_elsewhere(self) -> None:
        assert TABLE.columns == {
            "tenant_id": 'text COLLATE "C"',
            "thing_id": 'text COLLATE "C"',
            "number": "bigint",
            "status": 'text COLLATE "C"',
            "label": 'text COLLATE "C"',
            "count": "bigint",
            "ratio": "double precision",
            "active": "boolean",
            "made_at": "timestamptz",
            "lost_at": "timestamptz",
            "parts": "jsonb",
            "by_name": "jsonb",
            "anything": "jsonb",
            "order": 'text COLLATE "C"',
        }

    def test_of_the_key_are_never_null(self) -> None:
        definition = TABLE.create()
        assert '"number" bigint NOT NULL' in definition
        assert '"count" bigint,' in definition
        assert 'PRIMARY KEY ("tenant_id", "thing_id", "number")' in definition

    def test_have_the_indexes_of_the_projection(self) -> None:
        assert 'CREATE INDEX ON "thing_board" ("tenant_id", "status");' in TABLE.create()

    def test_stand_in_a_table_of_another_name_during_a_rebuild(self) -> None:
        assert '"thing_board__rebuilt"' in ReadTable.of(THINGS, "thing_board__rebuilt").save([row()]).sql


@pytest.mark.servers
class TestRows:
    async def save(self, connection: psycopg.AsyncConnection[Any], *rows: ThingRow) -> None:
        await CHECKPOINTS.write(connection, 0, [TABLE.save(list(rows))])

    async def load(self, connection: psycopg.AsyncConnection[Any], *keys: tuple[str, str, int]) -> list[ThingRow]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        found = await (await connection.execute(TABLE.load().encode(), columns)).fetchall()
        return sorted(
            (TABLE.row(values) for values in found), key=lambda row: (row.tenant_id, row.thing_id, row.number)
        )

    @pytest.fixture
    async def connection(self, database_url: str) -> Any:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(TABLE.create().encode())
            yield connection

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"label": 'quotes " and \\ and ünïcödé ☃', "status": "used", "active": True, "count": 1 << 62},
            {"ratio": 0.1, "made_at": NOW - timedelta(days=20_000), "lost_at": NOW},
            {"parts": (Part(name="a", sizes=(1, 2)), Part(name="b")), "by_name": {"x": 1, "": -1}},
            {"anything": "a text"},
            {"anything": ["mixed", 1, 1.5, None, True, {"deep": {"er": []}}]},
            {"anything": 9007199254740993},
            {"anything": False},
        ],
    )
    async def test_come_back_as_they_were_saved(self, connection: Any, fields: dict[str, Any]) -> None:
        saved = row(**fields)
        await self.save(connection, saved)
        assert await self.load(connection, ("acme", "t1", 1)) == [saved]

    async def test_are_replaced_by_their_key(self, connection: Any) -> None:
        await self.save(connection, row("t1", label="before", lost_at=NOW), row("t2"))
        await self.save(connection, row("t1", label="after"), row("t3"))
        found = await self.load(connection, ("acme", "t1", 1), ("acme", "t2", 1), ("acme", "t3", 1), ("acme", "t4", 1))
        assert found == [row("t1", label="after"), row("t2"), row("t3")]

    async def test_are_loaded_and_deleted_by_their_whole_key(self, connection: Any) -> None:
        kept = [row("t1", 2), row("t1", 1, tenant_id="other")]
        await self.save(connection, row("t1", 1), *kept)
        assert await self.load(connection, ("acme", "t1", 1), ("other", "t1", 1)) == [row("t1", 1), kept[1]]
        await CHECKPOINTS.write(connection, 0, [TABLE.delete([("acme", "t1", 1)])])
        assert await self.load(connection, ("acme", "t1", 1), ("acme", "t1", 2), ("other", "t1", 1)) == kept

    async def test_come_back_the_same_through_the_pool_that_queries_use(
        self, connection: Any, database_url: str
    ) -> None:
        saved = row(parts=(Part(name="a"),), anything={"a": [1]}, made_at=NOW)
        await self.save(connection, saved)
        pool = open_pool(database_url, 1)
        await pool.open()
        try:
            async with pool.connection() as pooled:
                assert await self.load(pooled, ("acme", "t1", 1)) == [saved]
        finally:
            await pool.close()
