"""What the Postgres store promises beyond the contract: refusals of the database, partitions, restarts, bounds, its own death."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.adapters import appender
from infra.adapters.event_store import Append, Appended, AppendRefused, NewEvent, Write
from infra.adapters.migrations import migrate
from infra.adapters.postgres_store import PostgresEventStore
from infra.embedded.postgres import EmbeddedPostgres
from infra.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from infra.ids import new_uuid7
from infra.settings import Settings
from tests.contract.line import NOW, one, opened

pytestmark = pytest.mark.servers


@pytest.fixture
async def store(database_url: str, settings: Settings) -> AsyncIterator[PostgresEventStore]:
    async with opened(database_url, settings) as store:
        yield store


REFUSED = {
    "data that is not JSON": one("bad-1", data=b"{"),
    "metadata that is not JSON": one("bad-1", metadata=b"nothing"),
    "a NUL in a stream id": one("bad-\x00"),
    "half of a surrogate pair in a stream id": one("bad-\ud800"),
    "half of a surrogate pair in a command id": one("bad-1", command_id="\udfff", fingerprint=b"f"),
    "a command id that no index can hold": one(
        "bad-1", command_id="".join(str(number * 7919) for number in range(2_000)), fingerprint=b"f"
    ),
    "an id that is too short": Append("acme", (Write("bad-1", 0, [NewEvent("t", 1, b"{}", b"short")]),), NOW),
    "a schema version of more than 64 bits": Append(
        "acme", (Write("bad-1", 0, [NewEvent("t", 1 << 64, b"{}", new_uuid7())]),), NOW
    ),
    "a time without a zone": one("bad-1")._replace(occurred_at=datetime(2026, 1, 1)),
}


class TestARefusalOfTheDatabase:
    @pytest.mark.parametrize("what", REFUSED)
    async def test_fails_only_the_append_that_caused_it(self, store: PostgresEventStore, what: str) -> None:
        group = [one(f"good-{number}") for number in range(9)]
        async with asyncio.timeout(10):
            waiting = [store.submit(each) for each in [*group[:5], REFUSED[what], *group[5:]]]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(answers.pop(5), AppendRefused)
        assert sorted(answer.position for answer in answers if isinstance(answer, Appended)) == list(range(1, 10))
        assert await store.head() == 9
        assert not store.died.done()

    async def test_for_an_older_schema_is_no_fault_of_the_data(self, database_url: str, settings: Settings) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct:
            await direct.execute("ALTER FUNCTION append RENAME TO append_of_later")
            async with opened(database_url, settings) as store:
                with pytest.raises(StoreUnavailable):
                    await store.append(one("thing-1"))
                await direct.execute("ALTER FUNCTION append_of_later RENAME TO append")
                assert (await store.append(one("thing-1"))).position == 1
                assert not store.died.done()

    async def test_keeps_the_order_of_the_others_on_a_stream(self, store: PostgresEventStore) -> None:
        group = [one("good-1", number) for number in range(20)]
        group.insert(7, one("bad-1", data=b"{"))
        answers = await asyncio.gather(*[store.submit(each) for each in group], return_exceptions=True)
        assert [answer.version for answer in answers if isinstance(answer, Appended)] == list(range(1, 21))


async def partitions(database_url: str) -> list[tuple[int, int]]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        query = "SELECT first_position, next_position FROM event_partition ORDER BY first_position"
        return await (await connection.execute(query)).fetchall()


@pytest.fixture
async def small(database_url: str) -> str:
    """A database whose partitions hold ten events."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("DROP TABLE event_1")
        await connection.execute("DELETE FROM event_partition")
    await migrate(database_url, partition_events=10)
    return database_url


class TestPartitions:
    async def test_are_made_while_somebody_reads_for_long(self, small: str, settings: Settings) -> None:
        async with await psycopg.AsyncConnection.connect(small) as reader:
            await reader.execute("SELECT count(*) FROM event")
            async with opened(small, settings, partition_events=10) as store, asyncio.timeout(5):
                for number in range(40):
                    await store.append(one(f"thing-{number}"))
                assert len(await partitions(small)) >= 4

    async def test_are_made_half_a_partition_ahead(self, small: str, settings: Settings) -> None:
        async with opened(small, settings, partition_events=10) as store:
            for version in range(35):
                await store.append(one("thing-1", version))
                ahead = await store.append(Append("acme", (Write("thing-1", version + 1, ()),), NOW))
                assert (await partitions(small))[-1][1] > ahead.position + 5
            assert (
                await partitions(small)
                == [(1, 11), (11, 21), (21, 31), (31, 41), (41, 51)][: len(await partitions(small))]
            )
            assert len(await store.load("acme", "thing-1")) == 35

    async def test_are_made_for_an_append_that_is_larger_than_one(self, small: str, settings: Settings) -> None:
        async with opened(small, settings, partition_events=10) as store:
            assert (await store.append(one("thing-1", 0, 95))).position == 95
            assert [record.position for record in await store.read(0, 200)] == list(range(1, 96))

    async def test_are_made_by_whoever_comes_to_the_end(self, small: str, settings: Settings) -> None:
        async with (
            opened(small, settings, partition_events=10) as one_process,
            opened(small, settings, partition_events=10) as another,
        ):
            for number in range(40):
                await one_process.append(one(f"thing-{number}"))
                await another.append(one(f"other-{number}", 0, 3))
            assert await another.head() == 160

    async def test_may_be_dropped_at_the_old_end(self, small: str, settings: Settings) -> None:
        async with opened(small, settings, partition_events=10) as store:
            for number in range(25):
                await store.append(one(f"thing-{number}", command_id=f"c{number}"))
            async with await psycopg.AsyncConnection.connect(small, autocommit=True) as connection:
                await connection.execute("DROP TABLE event_1")
            assert await store.first_position() == 11
            assert [record.position for record in await store.read(0, 100)] == list(range(11, 26))
            again = await store.append(one("thing-3", command_id="c3"))
            assert (again.version, again.position, again.repeated) == (1, 4, True)


class TestTheBounds:
    async def test_of_the_queue_are_kept(self, database_url: str, settings: Settings) -> None:
        async with opened(database_url, settings, append_queue_max=3) as store:
            waiting = [store.submit(one(f"thing-{number}")) for number in range(3)]
            with pytest.raises(Overloaded):
                store.submit(one("thing-9"))
            assert [(await answer).position for answer in waiting] == [1, 2, 3]

    @pytest.mark.parametrize("bound", [{"append_events_max": 1}, {"append_bytes_max": 1}])
    async def test_of_a_group_lose_nothing(self, database_url: str, settings: Settings, bound: dict[str, int]) -> None:
        async with opened(database_url, settings, **bound) as store:
            answers = [await each for each in [store.submit(one("thing-1", number)) for number in range(20)]]
            assert [answer.position for answer in answers] == list(range(1, 21))


class TestADeadAppender:
    async def test_fails_everyone_who_waits_and_everyone_who_comes(
        self, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_down(point: str) -> None:
            if point == "append.after_commit":
                raise RuntimeError("broken")

        monkeypatch.setattr(appender, "crash_point", break_down)
        waiting = [store.submit(one("thing-1")), store.submit(one("thing-1", 7)), store.submit(one("thing-1", 0))]
        for answer in waiting:
            with pytest.raises(OutcomeUnknown):
                await answer
        with pytest.raises(OutcomeUnknown):
            await store.died
        with pytest.raises(StoreUnavailable):
            await store.append(one("thing-2"))
        assert await store.head() == 1

    async def test_is_not_made_by_whoever_is_told_and_breaks_down(self, store: PostgresEventStore) -> None:
        def break_down(*_: object) -> None:
            raise RuntimeError("broken")

        store.on_append = break_down
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        assert [(await store.append(one("thing-1", number))).position for number in range(3)] == [1, 2, 3]

    async def test_by_closing_leaves_nobody_waiting(self, database_url: str, settings: Settings) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct, direct.transaction():
            async with opened(database_url, settings) as store:
                await direct.execute("SELECT position FROM log_head FOR UPDATE")
                in_flight = store.submit(one("thing-1"))
                while await (await direct.execute("SELECT 1 FROM pg_locks WHERE NOT granted")).fetchone() is None:
                    await asyncio.sleep(0.01)
                behind = store.submit(one("thing-2"))
            with pytest.raises(OutcomeUnknown):
                await in_flight
            with pytest.raises(StoreUnavailable):
                await behind


class TestASessionThatIsEndedByForce:
    async def test_loses_and_doubles_nothing(self, database_url: str, settings: Settings) -> None:
        """Backends are terminated again and again while 8 writers append and 2 readers read."""
        acknowledged: list[Appended] = []
        ending = asyncio.Event()

        async def write(store: PostgresEventStore, number: int) -> None:
            version = 0
            while not ending.is_set():
                with suppress(StoreUnavailable):  # then nothing was written, and it is tried again
                    answer = await store.append(one(f"thing-{number}", version, 2))
                    version = answer.version
                    acknowledged.append(answer)

        async def read(store: PostgresEventStore) -> None:
            seen = 0
            while not ending.is_set():
                for record in await store.read(seen, 100):
                    assert record.position == seen + 1
                    seen = record.position
                await store.load("acme", "thing-1", 0)

        async def terminate(direct: psycopg.AsyncConnection[Any]) -> None:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            for number in range(400):
                await asyncio.sleep(0.03 + 0.02 * (number % 4))
                await direct.execute(others)
                if number >= 40 and len(acknowledged) > 40:
                    break
            ending.set()

        async with (
            opened(database_url, settings) as store,
            await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct,
        ):
            writers = [write(store, number) for number in range(8)]
            await asyncio.gather(*writers, read(store), read(store), terminate(direct))
            log = [record for start in range(0, await store.head(), 1000) for record in await store.read(start, 1000)]
        assert [record.position for record in log] == list(range(1, len(log) + 1))
        assert len(log) == 2 * len(acknowledged)
        assert sorted(record.id for record in log) == sorted(i for answer in acknowledged for i in answer.event_ids)
        assert len(acknowledged) > 40


class TestARestartedServer:
    async def test_is_found_again_by_those_who_wait(self, tmp_path: Path, settings: Settings) -> None:
        """Both a shutdown and a SIGKILL of the postmaster, under load."""
        server = EmbeddedPostgres(tmp_path, tmp_path / "log")
        await server.start()
        try:
            await migrate(server.url)
            async with opened(server.url, settings) as store:
                acknowledged: list[Appended] = []
                ending = asyncio.Event()

                async def write(number: int) -> None:
                    while not ending.is_set():
                        acknowledged.append(await store.append(one(f"thing-{number}", len(mine[number]))))
                        mine[number].append(acknowledged[-1])

                async def read() -> None:
                    while not ending.is_set():
                        await store.read(max(0, await store.head() - 10), 100)

                mine: list[list[Appended]] = [[] for _ in range(4)]
                work = asyncio.gather(*(write(number) for number in range(4)), read())
                for number in (signal.SIGINT, signal.SIGKILL):
                    await asyncio.sleep(0.2)
                    server.kill(number)
                    while server.alive:
                        await asyncio.sleep(0.01)
                    await server.start()
                    before = len(acknowledged)
                    async with asyncio.timeout(10):
                        while len(acknowledged) < before + 20:
                            await asyncio.sleep(0.01)
                ending.set()
                await work
                log = await store.read(0, 100_000)
                assert [record.position for record in log] == list(range(1, len(log) + 1))
                assert {record.id for record in log} == {i for answer in acknowledged for i in answer.event_ids}
        finally:
            await server.stop()
            server.erase()
