"""The Postgres store and a line that fails: whatever was under way is answered by what is in the log, and is there once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest

from infra.adapters.event_store import Append, Appended, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.errors import OutcomeUnknown, StoreUnavailable
from infra.settings import Settings
from tests.contract.line import NOW, Line, begun, one, opened

pytestmark = pytest.mark.servers


@pytest.fixture
async def store(line: Line, settings: Settings) -> AsyncIterator[PostgresEventStore]:
    async with opened(line.url, settings) as store:
        await begun(store)
        yield store


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await what():
            await asyncio.sleep(0.01)


async def head(direct: psycopg.AsyncConnection[Any]) -> int:
    row = await (await direct.execute("SELECT position FROM log_head")).fetchone()
    assert row is not None
    return int(row[0])


async def held_up(direct: psycopg.AsyncConnection[Any], *, but: int | None = None) -> int:
    """Wait until a backend, another than `but`, waits for a lock of ours; gives its pid."""
    async with asyncio.timeout(10):
        while True:
            for (pid,) in await (await direct.execute("SELECT pid FROM pg_locks WHERE NOT granted")).fetchall():
                if pid != but:
                    return int(pid)
            await asyncio.sleep(0.01)


class TestAConnectionLostAfterTheCommit:
    async def test_leaves_the_append_done_once(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        line.mute = True
        waiting = [store.submit(one("thing-1", 0, 2)), store.submit(one("thing-2")), store.submit(one("thing-1", 2))]

        async def committed() -> bool:
            return await head(direct) == 5

        await until(committed)
        line.mute = False
        line.cut()
        answers = [await answer for answer in waiting]
        assert [(answer.version, answer.position, answer.repeated) for answer in answers] == [
            (2, 3, False),
            (1, 4, False),
            (3, 5, False),
        ]
        assert [record.id for record in await store.read(1, 10)] == [i for answer in answers for i in answer.event_ids]
        assert (await store.append(one("thing-2", 1))).position == 6

    async def test_leaves_an_append_without_events_as_harmless_as_it_was(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        line.mute = True
        check = Append("acme", (Write("first-1", 1, ()),), NOW, command_id="c1", fingerprint=b"f")
        waiting = store.submit(check)

        async def remembered() -> bool:
            return await (await direct.execute("SELECT 1 FROM command")).fetchone() is not None

        await until(remembered)
        line.mute = False
        line.cut()
        assert (await waiting)._replace(repeated=False) == Appended("first-1", 1, 1, ())


class TestAConnectionLostBeforeTheCommit:
    async def test_leaves_nothing_and_the_append_is_sent_again(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        line.deaf = True
        waiting = store.submit(one("thing-1"))
        await asyncio.sleep(0.05)
        assert await head(direct) == 1
        line.deaf = False
        line.cut()
        assert (await waiting).position == 2
        assert await head(direct) == 2

    async def test_leaves_no_old_backend_that_commits_later(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        async with direct.transaction():
            await direct.execute("SELECT position FROM log_head FOR UPDATE")
            waiting = store.submit(one("thing-1"))
            old = await held_up(direct)
            line.cut()
            await held_up(direct, but=old)
            now = await (await direct.execute("SELECT 1 FROM pg_locks WHERE pid = %s", (old,))).fetchone()
            assert now is None
        assert (await waiting).position == 2
        assert [record.position for record in await store.read(0, 10)] == [1, 2]

    async def test_leaves_nothing_although_the_answer_was_given(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        line.endless = True
        waiting = store.submit(one("thing-1"))
        await asyncio.sleep(0.05)
        line.endless = False
        await direct.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%foldwork_append%' AND pid <> pg_backend_pid()"
        )
        assert (await waiting).position == 2
        assert await head(direct) == 2

    async def test_is_told_when_the_server_does_not_come_back(self, line: Line, settings: Settings) -> None:
        async with opened(line.url, settings, store_retry_s_max=0.3) as store:
            await begun(store)
            line.deaf = True
            sent = store.submit(one("thing-1"))
            await asyncio.sleep(0.05)
            behind = store.submit(one("thing-2"))
            await line.shut()
            with pytest.raises(OutcomeUnknown):
                await sent
            with pytest.raises(StoreUnavailable):
                await behind
            with pytest.raises(StoreUnavailable):
                await store.append(one("thing-3"))
            with pytest.raises(StoreUnavailable):
                await store.head()
            line.deaf = False
            await line.open()
            assert (await store.append(one("thing-3"))).position == 2

    async def test_is_told_when_every_call_is_lost(
        self, line: Line, settings: Settings, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        async with opened(line.url, settings, append_s_max=0.05) as store:
            await begun(store)
            async with direct.transaction():
                await direct.execute("SELECT position FROM log_head FOR UPDATE")
                with pytest.raises(StoreUnavailable, match="again and again"):
                    await store.append(one("thing-1"))
            assert (await store.append(one("thing-1"))).position == 2


class TestALineThatFailsElsewhere:
    async def test_costs_no_answer_to_a_known_command(
        self, store: PostgresEventStore, line: Line, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        first = await store.append(one("thing-1", command_id="c1", fingerprint=b"f"))
        async with direct.transaction():
            # A repeated command is recognised without this table, its answer is not to be had without it.
            await direct.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
            waiting = store.submit(one("thing-1", command_id="c1", fingerprint=b"f"))
            old = await held_up(direct)
            line.cut()
            await held_up(direct, but=old)
        assert await waiting == first._replace(repeated=True)

    async def test_costs_no_append_while_a_partition_is_made(
        self, line: Line, settings: Settings, direct: psycopg.AsyncConnection[Any]
    ) -> None:
        async with opened(line.url, settings) as store:
            async with direct.transaction():
                await direct.execute("LOCK TABLE event_partition IN ACCESS EXCLUSIVE MODE")
                assert (await store.append(one("thing-1"))).position == 1
                behind = store.submit(one("thing-2"))
                await asyncio.sleep(0.05)
                line.cut()
                assert (await behind).position == 2
            assert not store.died.done()

    async def test_costs_no_reader_an_answer(self, store: PostgresEventStore, line: Line) -> None:
        reading = [asyncio.ensure_future(store.load("acme", "first-1")) for _ in range(5)]
        reading.append(asyncio.ensure_future(store.read(0, 10)))
        await asyncio.sleep(0)
        line.cut()
        for records in await asyncio.gather(*reading):
            assert [record.position for record in records] == [1]


class TestAReadThatIsCancelled:
    async def test_gives_its_connection_back_although_the_pool_is_busy(
        self, database_url: str, settings: Settings
    ) -> None:
        settings = settings.model_copy(update={"read_connections_max": 1, "store_retry_s_max": 0.5})
        store = await PostgresEventStore.open(database_url, settings)
        reading = asyncio.create_task(store.head())
        await asyncio.sleep(0)
        # So it is while others take and give back theirs: what is cancelled while it waits for that loses the one in its hand.
        async with store._pool._lock:
            await asyncio.sleep(0.1)
            reading.cancel()
            await asyncio.sleep(0.1)
        await asyncio.gather(reading, return_exceptions=True)
        assert await store.head() == 0
        await store.close()
