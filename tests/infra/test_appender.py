"""The appender: what waits goes together, in order and within bounds, and everyone who waits is told how it ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from infra.adapters.appender import Appender
from infra.adapters.event_store import Append, Appended, BasisLost, NewEvent, StreamMoved, Write
from infra.errors import Overloaded, StoreUnavailable
from infra.ids import new_uuid7
from infra.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def events(data: bytes = b"{}") -> list[NewEvent]:
    return [NewEvent("thing.happened", 1, data, new_uuid7())]


def append(*writes: Write, **more: Any) -> Append:
    return Append("acme", writes, NOW, **more)


def one(stream_id: str, expected: int = 0, data: bytes = b"{}", **more: Any) -> Append:
    return append(Write(stream_id, expected, events(data)), **more)


@asynccontextmanager
async def appending(url: str, settings: Settings, **changes: Any) -> AsyncIterator[Appender]:
    appender = Appender(url, 0, settings.model_copy(update=changes))
    try:
        yield appender
    finally:
        await appender.close()


class TestWithoutAServer:
    async def test_everyone_is_told_within_the_bound(self, settings: Settings) -> None:
        async with appending(NOWHERE, settings, store_retry_s_max=0.2, append_events_max=2) as appender:
            waiting = [appender.submit(one(f"thing-{number}")) for number in range(50)]
            async with asyncio.timeout(2):
                answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(answer) for answer in answers} == {StoreUnavailable}
            assert not appender.died.done()

    async def test_no_more_may_wait_than_the_bound(self, settings: Settings) -> None:
        async with appending(NOWHERE, settings, append_queue_max=3) as appender:
            waiting = [appender.submit(one(f"thing-{number}")) for number in range(3)]
            with pytest.raises(Overloaded):
                appender.submit(one("thing-3"))
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}

    async def test_nobody_can_come_after_it_has_ended(self, settings: Settings) -> None:
        async with appending(NOWHERE, settings) as appender:
            pass
        with pytest.raises(StoreUnavailable):
            appender.submit(one("thing-1"))

    async def test_nonsense_is_refused_at_once(self, settings: Settings) -> None:
        async with appending(NOWHERE, settings) as appender:
            with pytest.raises(ValueError, match="needs a stream"):
                appender.submit(Append("acme", (), NOW))


@pytest.mark.servers
class TestAGroup:
    async def groups(self, url: str) -> list[int]:
        """How many events each transaction has written, in order."""
        async with await psycopg.AsyncConnection.connect(url) as connection:
            query = "SELECT count(*) FROM event GROUP BY xmin ORDER BY min(position)"
            return [count for (count,) in await (await connection.execute(query)).fetchall()]

    async def test_is_what_waits_at_the_same_moment(self, database_url: str, settings: Settings) -> None:
        async with appending(database_url, settings) as appender:
            for answer in [appender.submit(one(f"thing-{number}")) for number in range(300)]:
                await answer
        assert await self.groups(database_url) == [300]

    async def test_gathers_while_another_is_in_flight(self, database_url: str, settings: Settings) -> None:
        async with (
            appending(database_url, settings) as appender,
            await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct,
        ):
            await appender.submit(one("first-1"))
            async with direct.transaction():
                await direct.execute("SELECT position FROM log_head FOR UPDATE")
                waiting = [appender.submit(one("thing-0"))]
                while await (await direct.execute("SELECT 1 FROM pg_locks WHERE NOT granted")).fetchone() is None:
                    await asyncio.sleep(0.01)
                waiting.extend(appender.submit(one(f"thing-{number}")) for number in range(1, 100))
                await asyncio.sleep(0.01)
            for answer in waiting:
                await answer
        assert await self.groups(database_url) == [1, 1, 99]

    @pytest.mark.parametrize(
        ("bound", "groups"), [({"append_events_max": 7}, [7, 7, 6]), ({"append_bytes_max": 90}, [9, 9, 2])]
    )
    async def test_keeps_to_its_bounds(
        self, database_url: str, settings: Settings, bound: dict[str, int], groups: list[int]
    ) -> None:
        async with appending(database_url, settings, **bound) as appender:
            for answer in [appender.submit(one(f"t-{number}", data=b'{"x":1234}')) for number in range(20)]:
                await answer
        assert await self.groups(database_url) == groups

    async def test_is_joined_later_by_what_does_not_fit(self, database_url: str, settings: Settings) -> None:
        """Two want the same version: the second waits for the next call, and loses there; the others do not wait for it."""
        async with appending(database_url, settings) as appender:
            waiting = [appender.submit(one(stream_id)) for stream_id in ("a", "b", "a", "c")]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Appended, Appended, StreamMoved, Appended]
        assert await self.groups(database_url) == [3]

    async def test_leaves_behind_what_rests_on_one_that_stays_behind(
        self, database_url: str, settings: Settings
    ) -> None:
        """Its version is right by chance: another process has written as many events."""
        async with appending(database_url, settings) as elsewhere, appending(database_url, settings) as appender:
            await elsewhere.submit(append(Write("s", 0, events()), Write("t", 0, events())))
            await elsewhere.submit(one("s", 1))
            first = appender.submit(one("t", 1))
            base = appender.submit(append(Write("s", 1, events()), Write("t", 1, ())))
            resting = appender.submit(append(Write("u", 0, events()), Write("s", 2, ()), after=(base,)))
            answers = await asyncio.gather(first, base, resting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Appended, StreamMoved, BasisLost]

    async def test_tells_of_itself_once(self, database_url: str, settings: Settings) -> None:
        told: list[tuple[int, int]] = []
        async with appending(database_url, settings) as appender:
            appender.on_append = lambda plan, head: told.append((head, plan.events))
            await asyncio.gather(*(appender.submit(one(f"thing-{number}")) for number in range(50)))
            with pytest.raises(StreamMoved):
                await appender.submit(one("thing-1"))
        assert told == [(0, 50)]

    async def test_goes_on_without_those_who_gave_up(self, database_url: str, settings: Settings) -> None:
        async with appending(database_url, settings) as appender:
            waiting = [appender.submit(one(f"thing-{number}")) for number in range(10)]
            for answer in waiting[::2]:
                answer.cancel()
            assert [(await answer).position for answer in waiting[1::2]] == [1, 2, 3, 4, 5]


class TestASessionThatMayNotWrite:
    async def test_is_left_for_another_one(self, database_url: str, settings: Settings) -> None:
        """As after a failover: who connected while the old server still answered reads there, and writes nothing."""
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as operator:
            name = operator.info.dbname
            await operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
            async with appending(database_url, settings) as appender:
                with pytest.raises(StoreUnavailable):
                    await appender.submit(one("thing-1"))
                await operator.execute("SET default_transaction_read_only = off")
                await operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off'.encode())
                assert (await appender.submit(one("thing-1"))).position == 1
