"""A worker and a client whose NATS does not answer: they say so, and end when they are told to."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from foldwork import Client, Task, Unavailable, Worker, ending, work_pull
from foldwork import worker as worker_module
from foldwork.connection import Connection
from foldwork.work_pull import WorkPull
from infra.cancellation import end
from infra.embedded.nats import EmbeddedNats
from tests.infra.client.worker_world import World

WAIT_S_MAX = 30.0
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


async def connect(*_: object, **__: object) -> None:
    """Is connected."""


async def no_responders(*_: object, **__: object) -> None:
    raise NoRespondersError


class TestAWorkerOfAnotherNats:
    async def test_says_once_that_no_foldwork_answers(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(worker_module, "REGISTERED_S", 0.01)
        monkeypatch.setattr(Connection, "connect", connect)
        monkeypatch.setattr(Connection, "request", no_responders)
        worker = Worker("nats://ada:secret@one", agent="summariser")
        worker.task(lambda _: None)
        serving = asyncio.create_task(worker.serve())
        await asyncio.sleep(0.1)
        await end(serving)
        assert caplog.messages == ["no Foldwork answers at nats://one; is it up, and is this its NATS?"]

    async def test_says_once_that_no_work_is_delivered(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "foldwork")
        monkeypatch.setattr(work_pull, "PAUSE_S", 0.01)
        connection = Connection("nats://one")
        monkeypatch.setattr(connection, "request", no_responders)
        pull = WorkPull(connection, "acme", "a", shard=0, ack_wait_s=1.0, room=lambda: 1, take=lambda _: None)
        pulling = asyncio.create_task(pull.run())
        await asyncio.sleep(0.1)
        await end(pulling)
        assert caplog.messages == ["work is not delivered: NoRespondersError()"]


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

    async def test_says_that_it_is_ready_and_ends_at_a_signal(self, system: World) -> None:
        command = (sys.executable, "-c", WORKING, system.url)
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                said = (await process.stderr.readline()).decode()
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
        assert "INFO worker of agent worker-" in said
        assert said.endswith(" is ready\n")

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


class TestAClient:
    @pytest.mark.outside
    async def test_gives_up_where_no_nats_answers(self, nowhere: str) -> None:
        place = nowhere.replace("ada:secret@", "")
        with pytest.raises(Unavailable, match=rf"not answer within 0\.2 s at {place}: .*Connect call failed"):
            async with asyncio.timeout(WAIT_S_MAX), Client(nowhere, give_up_after_s=0.2):
                pass

    async def test_gives_up_a_command_although_a_cancellation_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def request(*_: object, **__: object) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(WAIT_S_MAX)
            raise NoRespondersError

        monkeypatch.setattr(Connection, "connect", connect)
        monkeypatch.setattr(Connection, "request", request)
        async with Client("nats://127.0.0.1:1", give_up_after_s=0.1) as client, asyncio.timeout(WAIT_S_MAX):
            with pytest.raises(Unavailable, match=r"within 0\.1 s: nats: no responders"):
                await client.send("StartAgent", {"agent_id": "a"})


class TestAConnection:
    async def test_whose_url_is_none_says_so(self) -> None:
        with pytest.raises(NatsError, match="invalid connect url"):
            async with Client("nats://127.0.0.1:99999"):
                pass

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

    @pytest.mark.outside
    async def test_that_may_not_come_in_any_more_is_back_when_it_may(
        self, own_nats: EmbeddedNats, tmp_path: Path
    ) -> None:
        config, back = tmp_path / "nats.conf", asyncio.Event()
        connection = Connection(own_nats.url)
        await connection.open(on_return=back.set, reconnect_time_wait=0.05)
        open_to_all = config.read_text()
        config.write_text(open_to_all + "authorization { user: ada, password: other }")
        own_nats.kill(signal.SIGHUP)  # it reads its configuration again
        async with asyncio.timeout(WAIT_S_MAX):
            while "Authorization" not in connection.trouble:
                await asyncio.sleep(0.05)
            assert not connection.is_closed
            config.write_text(open_to_all)
            own_nats.kill(signal.SIGHUP)
            await back.wait()
            await connection.flush()
        await connection.close()

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
