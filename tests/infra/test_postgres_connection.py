"""A connection that watches its socket: it answers like psycopg's own, whatever happens to the query, the server or the socket."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg
import pytest
import uvloop

from infra.adapters.postgres_connection import WatchedConnection

pytestmark = pytest.mark.servers

Scenario = Callable[[WatchedConnection, str], Awaitable[None]]
LONG = 8_000_000
_BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, database_url: str) -> Callable[[Scenario], None]:
    """Plays a scenario with a connection of its own, on either kind of loop."""

    async def played(scenario: Scenario) -> None:
        async with asyncio.timeout(20), await WatchedConnection.connect(database_url, autocommit=True) as connection:
            await scenario(connection, database_url)

    def run(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(played(scenario))

    return run


async def one(connection: psycopg.AsyncConnection[tuple[int]], query: str) -> int:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


def descriptors() -> list[str]:
    """What each descriptor of this process stands for; another thread may close one of them meanwhile."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


async def end_session(url: str, pid: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s)", [pid])


class TestAWatchedConnection:
    def test_answers_one_query_after_another(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            assert [await one(connection, f"SELECT {number}") for number in range(200)] == list(range(200))

        play(scenario)

    def test_sends_and_takes_more_than_a_socket_holds(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            cursor = await connection.execute("SELECT %s::text", ["x" * LONG])
            assert await cursor.fetchone() == ("x" * LONG,)
            assert await one(connection, "SELECT 1") == 1

        play(scenario)

    def test_says_what_the_server_refuses(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.execute("SELECT 1 / 0")
            assert await one(connection, "SELECT 1") == 1

        play(scenario)

    def test_waits_for_as_long_as_it_takes(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            assert await one(connection, "SELECT 7 FROM pg_sleep(1.2)") == 7

        play(scenario)

    def test_notices_in_the_end_what_the_loop_has_missed(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            waiting = asyncio.create_task(one(connection, "SELECT 7 FROM pg_sleep(0.1)"))
            await asyncio.sleep(0.05)
            asyncio.get_running_loop().remove_reader(connection._watch.fileno())
            assert await waiting == 7

        play(scenario)

    def test_ends_a_query_that_nobody_waits_for_any_more(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.execute("SELECT pg_sleep(30)")
            assert time.monotonic() - begun < 5
            assert await one(connection, "SELECT 1") == 1

        play(scenario)

    def test_fails_when_its_session_ends_while_it_waits(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            pid = await one(connection, _BACKEND)
            waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.05)
            await end_session(url, pid)
            with pytest.raises(psycopg.OperationalError):
                await waiting
            assert connection.closed

        play(scenario)

    def test_fails_when_its_session_ends_with_words_unheard(self, play: Callable[[Scenario], None]) -> None:
        """The socket then has an error beside what can be read from it: uvloop watches it no longer."""

        async def scenario(connection: WatchedConnection, url: str) -> None:
            pid = await one(connection, _BACKEND)
            waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.05)
            os.write(connection.pgconn.socket, b"\0" * 64)
            await end_session(url, pid)
            with pytest.raises(psycopg.OperationalError):
                await waiting

        play(scenario)

    def test_fails_when_it_is_closed_while_it_waits(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.05)
            await connection.close()
            with pytest.raises(psycopg.OperationalError):
                await waiting

        play(scenario)

    def test_sleeps_when_its_session_ends_while_it_rests(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            await end_session(url, await one(connection, _BACKEND))
            begun = time.thread_time()
            await asyncio.sleep(0.3)
            assert time.thread_time() - begun < 0.1
            with pytest.raises(psycopg.OperationalError):
                await one(connection, "SELECT 1")

        play(scenario)

    def test_leaves_nothing_open(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            for broken in (False, True):
                async with await WatchedConnection.connect(url, autocommit=True) as other:
                    pid, socket = await one(other, _BACKEND), os.readlink(f"/proc/self/fd/{other.pgconn.socket}")
                    assert socket in descriptors()
                    if broken:
                        await end_session(url, pid)
                assert socket not in descriptors()
                # The server ends a session after its client has gone, in its own time; that it never does is a timeout.
                while await one(connection, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"):
                    await asyncio.sleep(0.01)

        play(scenario)

    def test_takes_turns(self, play: Callable[[Scenario], None]) -> None:
        async def scenario(connection: WatchedConnection, url: str) -> None:
            queries = [one(connection, f"SELECT {number} FROM pg_sleep(0.001)") for number in range(50)]
            assert await asyncio.gather(*queries) == list(range(50))

        play(scenario)
