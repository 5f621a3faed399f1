"""Liveness: the last sign of life of each stream is kept, and silence is reported, each time once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from events.envelope import Origin
from infra.adapters import postgres_connection
from infra.cancellation import end
from infra.engines import liveness
from infra.engines.command_bus import CommandBus
from infra.engines.liveness import Arrivals, Liveness, SilenceWatch
from infra.errors import StoreUnavailable, VersionConflict
from infra.ids import utc_now
from infra.patterns.decider import Command
from infra.settings import Settings
from tests.contract.line import Line
from tests.infra.boxes import DECIDERS, EVENTS, FillBox, MakeBox, SlowStore, origin
from tests.infra.consuming import NOW, opened, until_so

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"heartbeat_timeout_s": 0.2})


@pytest.fixture
def bus(store: SlowStore, settings: Settings) -> CommandBus:
    return CommandBus(store, DECIDERS, EVENTS, settings)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


def on_silence(stream_id: str, seen_at: datetime) -> Command:
    if stream_id == "box-broken":
        raise ValueError("a mistake")
    return FillBox(box_id=stream_id.removeprefix("box-"))


async def note(connection: Connection, stream_id: str, ago_s: float = 10, tenant_id: str = "acme") -> None:
    seen_at = utc_now() - timedelta(seconds=ago_s)
    await connection.execute("INSERT INTO heartbeat VALUES (%s, %s, %s)", (tenant_id, stream_id, seen_at))


async def noted(connection: Connection) -> list[tuple[str, str]]:
    query = "SELECT tenant_id, stream_id FROM heartbeat ORDER BY tenant_id, stream_id"
    return await (await connection.execute(query)).fetchall()


async def is_noted(connection: Connection, stream_id: str) -> bool:
    return ("acme", stream_id) in await noted(connection)


class TestASignOfLife:
    async def test_is_kept_and_only_the_last(
        self, connection: Connection, database_url: str, settings: Settings
    ) -> None:
        liveness = Liveness(database_url, settings)
        running = asyncio.create_task(liveness.run())
        for _ in range(3):
            for tenant_id, stream_id in (("acme", "box-a"), ("acme", "box-b"), ("other", "box-a")):
                liveness.seen(tenant_id, stream_id)
            await asyncio.sleep(0.1)
        last = utc_now()
        liveness.seen("acme", "box-a")

        async def kept() -> bool:
            query = "SELECT count(*) FROM heartbeat WHERE seen_at >= %s"
            return await (await connection.execute(query, (last,))).fetchone() == (1,)

        await until_so(kept)
        await end(running)
        assert await noted(connection) == [("acme", "box-a"), ("acme", "box-b"), ("other", "box-a")]

    async def test_never_goes_back_in_time(self, connection: Connection, database_url: str, settings: Settings) -> None:
        await note(connection, "box-a", ago_s=-100)
        liveness = Liveness(database_url, settings)
        liveness.seen("acme", "box-a")
        running = asyncio.create_task(liveness.run())
        await asyncio.sleep(0.2)
        await end(running)
        ahead = await (await connection.execute("SELECT seen_at > now() + interval '50 s' FROM heartbeat")).fetchone()
        assert ahead == (True,)


class TestALineThatHangs:
    """The server is there, and says nothing any more over the connection that was open."""

    @pytest.fixture
    async def line(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
        monkeypatch.setattr(postgres_connection, "_CANCEL_S_MAX", 0.2)
        line = Line(database_url)
        await line.open()
        yield line
        await line.close()

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"connect_s_max": 0.3, "heartbeat_flush_s": 0.05, "heartbeat_check_s": 0.05})

    async def test_keeps_no_sign_of_life_back(self, connection: Connection, line: Line, settings: Settings) -> None:
        liveness = Liveness(line.url, settings)
        liveness.seen("acme", "box-a")
        running = asyncio.create_task(liveness.run())
        await until_so(lambda: is_noted(connection, "box-a"))
        line.mute = True
        liveness.seen("acme", "box-b")
        await until_so(lambda: is_noted(connection, "box-b"))  # written, and nobody was told
        await asyncio.sleep(1)
        line.mute = False
        liveness.seen("acme", "box-c")
        await until_so(lambda: is_noted(connection, "box-c"))
        await end(running)

    async def test_keeps_no_silence_back(
        self, connection: Connection, line: Line, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        watching = asyncio.create_task(SilenceWatch(line.url, bus, on_silence, settings).run())
        await asyncio.sleep(0.5)
        line.mute = True
        await asyncio.sleep(1)
        line.mute = False
        await note(connection, "box-a")

        async def reported() -> bool:
            return not await is_noted(connection, "box-a")

        await until_so(reported)
        await end(watching)
        assert await store.types() == ["box.made", "box.filled"]


class TestAnArrival:
    async def test_is_a_sign_of_life_that_is_never_lost_and_hides_no_later_one(
        self, database_url: str, connection: Connection, settings: Settings
    ) -> None:
        later = timedelta(days=1)
        await connection.execute("INSERT INTO heartbeat VALUES ('acme', 'box-b', %s)", (NOW + later,))
        async with opened(database_url, settings) as place:
            await place.write("box-a", "box.made", "box.filled", "box.made")
            await place.write("box-b", "box.made")
            await place.write("box-c", "box.filled")
            await place.write("box-a", "box.made", tenant_id="other")
            await place.run(Arrivals("boxes", frozenset({"box.made"})))
        rows = await connection.execute("SELECT tenant_id, stream_id, seen_at FROM heartbeat ORDER BY 1, 2")
        assert await rows.fetchall() == [
            ("acme", "box-a", NOW),
            ("acme", "box-b", NOW + later),
            ("other", "box-a", NOW),
        ]


class TestSilence:
    def watch(self, database_url: str, bus: CommandBus, settings: Settings) -> SilenceWatch:
        return SilenceWatch(database_url, bus, on_silence, settings)

    async def look(self, watch: SilenceWatch, connection: Connection) -> None:
        await watch._look(connection)

    async def test_is_reported_once(
        self, connection: Connection, database_url: str, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await note(connection, "box-a")
        await note(connection, "box-b", ago_s=-10)
        watching = [asyncio.create_task(self.watch(database_url, bus, settings).run()) for _ in range(2)]

        async def reported() -> bool:
            return await noted(connection) == [("acme", "box-b")]

        await until_so(reported)
        await asyncio.sleep(0.1)
        await end(*watching)
        assert await store.types() == ["box.made", "box.filled"]
        (_, record) = await store.read(0, 10)
        assert Origin.from_json("acme", record.metadata).actor == "liveness"

    async def test_is_not_believed_right_after_a_start(
        self, connection: Connection, database_url: str, bus: CommandBus, settings: Settings
    ) -> None:
        await note(connection, "box-a")
        patient = settings.model_copy(update={"heartbeat_timeout_s": 5.0})
        watching = asyncio.create_task(self.watch(database_url, bus, patient).run())
        await asyncio.sleep(0.2)
        await end(watching)
        assert await noted(connection) == [("acme", "box-a")]

    async def test_is_not_believed_when_the_clock_has_jumped(
        self, connection: Connection, database_url: str, bus: CommandBus, settings: Settings, monkeypatch: Any
    ) -> None:
        """As it does when a machine has slept, with the nodes on it."""
        ahead = [timedelta()]
        monkeypatch.setattr(liveness, "utc_now", lambda: utc_now() + ahead[0])
        brisk = settings.model_copy(update={"heartbeat_timeout_s": 1.0, "heartbeat_check_s": 0.05})
        await note(connection, "box-a", ago_s=-60)
        await note(connection, "box-b")
        watching = asyncio.create_task(self.watch(database_url, bus, brisk).run())

        async def left(*streams: str) -> bool:
            return await noted(connection) == [("acme", stream_id) for stream_id in streams]

        await until_so(lambda: left("box-a"))
        ahead[0] = timedelta(hours=1)
        await asyncio.sleep(0.5)
        assert await left("box-a")
        await until_so(left)
        await end(watching)

    async def test_is_noticed_although_the_clock_went_back(
        self, connection: Connection, database_url: str, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        """Within two timeouts, not when the clock has caught up with the last sign of life."""
        await bus.execute(MakeBox(box_id="a"), origin())
        brisk = settings.model_copy(update={"heartbeat_timeout_s": 0.2, "heartbeat_check_s": 0.05})
        await note(connection, "box-a", ago_s=-3_600)
        watching = asyncio.create_task(self.watch(database_url, bus, brisk).run())

        async def reported() -> bool:
            return await store.types() == ["box.made", "box.filled"]

        await until_so(reported)
        await end(watching)

    async def test_is_not_reported_of_those_who_were_silent_before_a_pause(
        self, connection: Connection, database_url: str, bus: CommandBus, settings: Settings, monkeypatch: Any
    ) -> None:
        await note(connection, "box-a")
        times = iter([utc_now(), utc_now() + timedelta(hours=1)])
        monkeypatch.setattr(liveness, "utc_now", lambda: next(times))
        await self.look(self.watch(database_url, bus, settings), connection)
        assert await noted(connection) == [("acme", "box-a")]

    async def test_without_consequence_is_forgotten(
        self, connection: Connection, database_url: str, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await note(connection, "box-unknown")
        await self.look(self.watch(database_url, bus, settings), connection)
        assert (await noted(connection), await store.head()) == ([], 0)

    async def test_is_reported_later_when_it_cannot_be_now(
        self, connection: Connection, database_url: str, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await note(connection, "box-a")
        watch = self.watch(database_url, bus, settings)
        store.faults.append(StoreUnavailable("away"))
        with pytest.raises(StoreUnavailable):
            await self.look(watch, connection)
        store.faults.append(VersionConflict("too many"))
        await self.look(watch, connection)
        assert await noted(connection) == [("acme", "box-a")]
        await self.look(watch, connection)
        assert (await noted(connection), await store.types()) == ([], ["box.made", "box.filled"])

    async def test_of_one_that_breaks_down_holds_up_no_other(
        self, connection: Connection, database_url: str, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await note(connection, "box-broken", ago_s=100)
        await note(connection, "box-a")
        await self.look(self.watch(database_url, bus, settings), connection)
        assert (await noted(connection), await store.types()) == ([("acme", "box-broken")], ["box.made", "box.filled"])

    async def test_is_over_for_one_that_was_heard_meanwhile(
        self, connection: Connection, database_url: str, store: SlowStore, bus: CommandBus, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="a"), origin())
        await note(connection, "box-a")
        store.gate.clear()
        looking = asyncio.create_task(self.look(self.watch(database_url, bus, settings), connection))
        while len(store.submitted) < 2:
            await asyncio.sleep(0.01)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as another:
            await another.execute("UPDATE heartbeat SET seen_at = now()")
        store.gate.set()
        await looking
        assert await noted(connection) == [("acme", "box-a")]
