"""A worker and a client whose NATS does not answer: they say so, and end when they are told to."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from foldwork import Task, Worker, ending
from foldwork.connection import Connection
from infra.cancellation import end

WAIT_S_MAX = 10.0
WORKING = """
import sys
from foldwork import Worker
worker = Worker(sys.argv[1], agent="summariser", reconnect_time_wait=0)
@worker.task
async def handle(task):
    return None
worker.run()
"""


@pytest.fixture
async def elsewhere() -> AsyncIterator[str]:
    """The URL of a server that is no NATS."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"nats://ada:secret@{host}:{port}"


@pytest.fixture
def nowhere() -> str:
    """A URL at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"nats://ada:secret@127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.outside
class TestAWorker:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("place", ["nowhere", "elsewhere"])
    async def test_says_once_that_nobody_answers_and_ends_at_a_signal(
        self, place: str, number: signal.Signals, nowhere: str, elsewhere: str
    ) -> None:
        url = {"nowhere": nowhere, "elsewhere": elsewhere}[place]
        command = (sys.executable, "-c", WORKING, url)
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                said = (await process.stderr.readline()).decode()
                await asyncio.sleep(0.3)
                process.send_signal(number)
                rest = await process.stderr.read()
                assert (await process.wait(), rest) == (0, b"")
        finally:
            if process.returncode is None:
                process.kill()
        assert f"WARNING NATS does not answer at {url.replace('ada:secret@', '')}, and is tried again: " in said
        assert said.endswith(" The port of `foldwork up` is in .foldwork/nats.port.\n")

    async def test_that_is_cancelled_in_each_moment_of_connecting_ends(
        self, nowhere: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ending, "AGAIN_S", 0.01)
        worker = Worker(nowhere, agent="summariser", reconnect_time_wait=0)

        @worker.task
        async def handle(task: Task) -> None:
            """Does nothing."""

        for turns in range(40):
            serving = asyncio.create_task(worker.serve())
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            done, _ = await asyncio.wait([serving], timeout=WAIT_S_MAX)
            await end(serving)
            assert done == {serving}, f"after {turns} turns"


class TestAConnection:
    async def test_is_given_up_for_certain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ending, "AGAIN_S", 0.01)
        swallowed = 0

        async def connect(*_: object, **__: object) -> None:
            nonlocal swallowed
            while swallowed < 2:
                try:
                    await asyncio.sleep(WAIT_S_MAX)
                except asyncio.CancelledError:
                    swallowed += 1
            await asyncio.sleep(WAIT_S_MAX)

        connection = Connection("nats://127.0.0.1:1")
        monkeypatch.setattr(connection, "connect", connect)
        with pytest.raises(TimeoutError):
            await connection.open(0.01)
        assert swallowed == 2

    async def test_says_once_in_each_outage_that_nobody_answers(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "foldwork")
        returns: list[str] = []

        async def connect(*_: object, **given: object) -> None:
            tell, returned = given["error_cb"], given["reconnected_cb"]
            assert callable(tell)
            assert callable(returned)
            for _ in range(2):
                for _ in range(3):
                    await tell(OSError("refused"))
                await returned()

        connection = Connection("nats://ada:secret@one:4222,two")
        monkeypatch.setattr(connection, "connect", connect)
        await connection.open(on_return=lambda: returns.append("again"))
        place = "nats://one:4222,nats://two"
        away = f"NATS does not answer at {place}, and is tried again: refused. The port of `foldwork up` is in .foldwork/nats.port."
        assert caplog.messages == [away, f"NATS answers again at {place}"] * 2
        assert returns == ["again"] * 2
