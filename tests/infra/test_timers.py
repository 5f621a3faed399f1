"""Timers fire once their time has come, in effect once, and none of them holds up the others."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest

from events.envelope import Origin
from infra.adapters.memory_store import MemoryEventStore
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.engines.timers import Timers
from infra.errors import StoreUnavailable, VersionConflict
from infra.ids import utc_now
from infra.settings import Settings
from tests.infra.boxes import DECIDERS, EVENTS, MakeBox, SlowStore, origin
from tests.infra.consuming import until_so

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def bus(store: SlowStore, settings: Settings) -> CommandBus:
    return CommandBus(store, DECIDERS, EVENTS, settings)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


def timers_of(database_url: str, bus: CommandBus, settings: Settings) -> Timers:
    return Timers(database_url, bus, DECIDERS.commands, settings)


async def schedule(
    connection: Connection,
    timer_id: str,
    after_s: float = -1,
    command: str = "FillBox",
    fields: dict[str, Any] | None = None,
    tenant_id: str = "acme",
) -> datetime:
    at = utc_now() + timedelta(seconds=after_s)
    data = orjson.dumps(fields or {"box_id": "a", "amount": 1}).decode()
    query = "INSERT INTO timer VALUES (0, %s, %s, %s, 'some_saga', %s, %s::json, 'e1', 'r1')"
    await connection.execute(query, (timer_id, at, tenant_id, command, data))
    return at


async def left(connection: Connection) -> dict[str, float]:
    """The timers that are still there, with the seconds until they are due."""
    rows = await connection.execute("SELECT timer_id, EXTRACT(epoch FROM due_at - now())::float8 FROM timer")
    return dict(await rows.fetchall())


async def fills(store: MemoryEventStore) -> int:
    return sum(record.type == "box.filled" for record in await store.read(0, 1_000))


class TestATimer:
    async def test_fires_when_it_is_due_and_not_before(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        due_at = await schedule(connection, "t1", 0.3)
        await schedule(connection, "t2", 60)
        running = asyncio.create_task(timers_of(database_url, bus, settings).run())

        async def fired() -> bool:
            return await fills(store) == 1

        await until_so(fired)
        assert utc_now() >= due_at
        await asyncio.sleep(0.05)
        await end(running)
        assert list(await left(connection)) == ["t2"]

    async def test_sends_its_command_under_an_id_of_its_own(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin(tenant_id="other"))
        await schedule(connection, "t1", tenant_id="other")
        assert await timers_of(database_url, bus, settings).fire(connection) == 1
        (_, record) = await store.read(0, 10)
        assert Origin.from_json(record.tenant_id, record.metadata) == Origin(
            "other", "saga:some_saga", "t1/fired", "r1", "e1"
        )

    async def test_takes_effect_once_when_it_is_cut_off_before_it_is_forgotten(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        timers = timers_of(database_url, bus, settings)
        for _ in range(3):
            await schedule(connection, "t1")
            await timers.fire(connection)
        assert (await fills(store), await left(connection)) == (1, {})

    async def test_takes_effect_once_when_two_processes_fire(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a", size=100), origin())
        for number in range(30):
            await schedule(connection, f"t{number}", number / 100)
        running = [asyncio.create_task(timers_of(database_url, bus, settings).run()) for _ in range(2)]

        async def all_fired() -> bool:
            return not await left(connection)

        await until_so(all_fired)
        await end(*running)
        assert await fills(store) == 30

    async def test_whose_command_is_refused_is_forgotten(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await schedule(connection, "t1")
        assert await timers_of(database_url, bus, settings).fire(connection) == 1
        assert (await fills(store), await left(connection)) == (0, {})

    async def test_is_still_due_while_the_store_is_away_or_too_many_write(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await schedule(connection, "t1")
        timers = timers_of(database_url, bus, settings)
        store.faults.append(StoreUnavailable("away"))
        with pytest.raises(StoreUnavailable):
            await timers.fire(connection)
        store.faults.append(VersionConflict("too many"))
        await timers.fire(connection)
        assert (await left(connection))["t1"] < 0
        await timers.fire(connection)
        assert (await fills(store), await left(connection)) == (1, {})

    @pytest.mark.parametrize(
        ("command", "fields"), [("NoSuchCommand", {}), ("FillBox", {"box_id": 7}), ("FillBox", {"another": "field"})]
    )
    async def test_that_cannot_be_fired_waits_and_holds_up_no_other(
        self,
        connection: Connection,
        bus: CommandBus,
        store: SlowStore,
        database_url: str,
        settings: Settings,
        command: str,
        fields: dict[str, Any],
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await schedule(connection, "broken", -10, command, fields)
        await schedule(connection, "good")
        assert await timers_of(database_url, bus, settings).fire(connection) == 2
        assert await fills(store) == 1
        assert {timer_id: due > 30 for timer_id, due in (await left(connection)).items()} == {"broken": True}

    async def test_has_its_stream_at_hand_before_it_is_due(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        for number in range(5):
            await bus.execute(MakeBox(box_id=f"{number}"), origin())
            await schedule(connection, f"t{number}", 0.2, fields={"box_id": f"{number}"})
        await schedule(connection, "broken", 0.1, "NoSuchCommand")
        await schedule(connection, "late", 60, fields={"box_id": "4"})
        fresh = CommandBus(store, DECIDERS, EVENTS, settings)
        timers = timers_of(database_url, fresh, settings.model_copy(update={"timer_batch_max": 4}))
        assert [await timers.look_ahead(connection) for _ in range(3)] == [4, 2, 0]
        assert (store.loads, await timers.fire(connection), await fills(store)) == (5, 0, 0)
        await asyncio.sleep(0.25)
        assert [await timers.fire(connection), await timers.fire(connection)] == [4, 2]
        assert (store.loads, await fills(store)) == (5, 5)

    async def test_fires_even_when_there_are_many(
        self, connection: Connection, bus: CommandBus, store: SlowStore, database_url: str, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a", size=1_000), origin())
        for number in range(25):
            await schedule(connection, f"t{number}", -number)
        timers = timers_of(database_url, bus, settings.model_copy(update={"timer_batch_max": 10}))
        assert [await timers.fire(connection) for _ in range(4)] == [10, 10, 5, 0]
        assert await fills(store) == 25
