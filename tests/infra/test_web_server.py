"""The application on a real socket: slow and hostile clients, live answers, and the end of the process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.adapters.web_server import HEAD_BYTES_MAX
from tests.infra.web_world import HOST, World, accepts, serving, until

pytestmark = pytest.mark.outside
HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HOSTILE = (
    b"GET",
    b"\x00" * 100,
    b"GET /\xff HTTP/1.1",
    b"GET /hello%zz HTTP/1.1",
    b"GET http://[ HTTP/1.1",
    b"GET / HTTP/9.9",
    b"PRI * HTTP/2.0",
    b"GET /hello HTTP/1.1\r\nX: a\x00b",
    b"GET /hello HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"POST /hello HTTP/1.1\r\nContent-Length: -1",
    b"POST /hello HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
    b"POST /hello HTTP/1.1\r\nContent-Length: " + b"9" * 30,
    b"POST /hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz",
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with serving(world):
        yield world


in_one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_world() -> AsyncIterator[World]:
    """A server that has to outlive whatever the tests do to it."""
    world = World()
    async with serving(world):
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient_world() -> AsyncIterator[World]:
    """A server that outlives the tests too, and waits a moment only for slow clients."""
    world = World()
    async with serving(world, request_s_max=0.05, request_check_s=0.02):
        yield world


@in_one_loop
class TestAHostileClient:
    @pytest.mark.parametrize("request_line", HOSTILE)
    async def test_is_never_a_server_error(
        self, lasting_world: World, caplog: pytest.LogCaptureFixture, request_line: bytes
    ) -> None:
        answer = await lasting_world.ask(request_line + b"\r\nHost: x\r\n\r\n")
        assert not answer.startswith(b"HTTP/1.1 5")
        assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []
        assert b'"hello"' in await lasting_world.ask(LAST)

    async def test_with_headers_without_an_end_is_cut_off(self, lasting_world: World) -> None:
        answer = await lasting_world.ask(b"GET /hello HTTP/1.1\r\n" + b"X-Filler: " + b"x" * 2 * HEAD_BYTES_MAX)
        assert answer.startswith(b"HTTP/1.1 400")

    async def test_with_very_many_headers_is_cut_off(self, lasting_world: World) -> None:
        filler = b"".join(b"X-%d: y\r\n" % number for number in range(20_000))
        assert (await lasting_world.ask(b"GET /hello HTTP/1.1\r\n" + filler)).startswith(b"HTTP/1.1 400")

    async def test_may_send_large_headers_within_the_bound(self, lasting_world: World) -> None:
        filler = b"X-Filler: " + b"x" * (HEAD_BYTES_MAX // 2)
        assert b'"hello"' in await lasting_world.ask(
            b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + filler + b"\r\n\r\n"
        )

    async def test_that_sends_too_much_gets_its_answer(self, lasting_world: World) -> None:
        request = b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150_000
        assert (await lasting_world.ask(request)).startswith(b"HTTP/1.1 413")

    async def test_that_sends_chunks_without_an_end_gets_its_answer(self, lasting_world: World) -> None:
        chunks = b"".join(b"%x\r\n%b\r\n" % (1_000, b"x" * 1_000) for _ in range(250))
        request = b"POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        assert (await lasting_world.ask(request)).startswith(b"HTTP/1.1 413")

    async def test_may_send_several_requests_at_once(self, lasting_world: World) -> None:
        assert (await lasting_world.ask(HELLO * 2 + LAST)).count(b'"hello"') == 3


@in_one_loop
class TestASlowClient:
    @pytest.mark.parametrize(
        "begun",
        [
            b"",
            b"GET /hel",
            b"GET /hello HTTP/1.1\r\nX-",
            b"POST /hello HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
            HELLO + b"GE",
        ],
    )
    async def test_is_cut_off(self, impatient_world: World, begun: bytes) -> None:
        reader, writer = await asyncio.open_connection(HOST, impatient_world.port)
        writer.write(begun)
        async with asyncio.timeout(3):
            while await reader.read(1_000):
                pass
        writer.close()

    async def test_is_not_one_who_only_waits_for_a_slow_answer(self, impatient_world: World) -> None:
        asked = asyncio.create_task(impatient_world.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        await asyncio.sleep(0.15)
        impatient_world.may_answer.set()
        assert b'"done"' in await asked


class TestAStream:
    @in_one_loop
    async def test_goes_on_until_the_client_leaves(self, lasting_world: World) -> None:
        reader, writer = await asyncio.open_connection(HOST, lasting_world.port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"3 ")
        assert lasting_world.streams_open == 1
        writer.close()
        await until(lambda: lasting_world.streams_open == 0)

    async def test_ends_in_order_when_the_process_stops(self, world: World) -> None:
        reader, writer = await asyncio.open_connection(HOST, world.port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"3 ")
        world.application.stopping.set()
        await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 3)
        assert world.streams_open == 0
        writer.close()


class TestAWebSocket:
    @in_one_loop
    async def test_gets_each_message_until_it_leaves(self, lasting_world: World) -> None:
        async with websockets.connect(f"ws://{HOST}:{lasting_world.port}/ws") as socket:
            assert [await socket.recv() for _ in range(3)] == ["0 ", "1 ", "2 "]
            assert lasting_world.streams_open == 1
        await until(lambda: lasting_world.streams_open == 0)

    async def test_is_closed_when_the_process_stops(self, world: World) -> None:
        async with websockets.connect(f"ws://{HOST}:{world.port}/ws") as socket:
            await socket.recv()
            world.application.stopping.set()
            assert await _closed(socket) == 1001

    @in_one_loop
    @pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/full", 503), ("/hello", 404)])
    async def test_is_refused_with_a_status(self, lasting_world: World, path: str, status: int) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(f"ws://{HOST}:{lasting_world.port}{path}")
        assert refused.value.response.status_code == status

    @in_one_loop
    async def test_sending_large_messages_is_closed(self, lasting_world: World) -> None:
        async with websockets.connect(f"ws://{HOST}:{lasting_world.port}/ws") as socket:
            await socket.send("x" * 100_000)
            assert await _closed(socket) == 1009


class TestAServerThatStops:
    async def test_lets_requests_under_way_end(self) -> None:
        world = World()
        async with serving(world) as task:
            asked = asyncio.create_task(world.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
            await world.asked.wait()
            task.cancel()
            await asyncio.sleep(0.2)
            world.may_answer.set()
            assert b'"done"' in await asked
            await asyncio.wait_for(_ended(task), 3)

    async def test_takes_no_more_requests(self) -> None:
        world = World()
        async with serving(world) as task:
            task.cancel()
            await asyncio.wait_for(_ended(task), 3)
            assert not await accepts(world.port)


async def _ended(task: Awaitable[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _closed(socket: websockets.ClientConnection) -> int | None:
    """The code with which the server closes."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), 3)
    return socket.close_code
