"""An application on a real socket for the tests of the server: its endpoints, and what they wait for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from infra.adapters.web import Application, Route, SocketRoute
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_request import Answer, Request, Stream
from infra.adapters.web_server import serve
from infra.embedded.ports import free_port
from infra.errors import Overloaded
from infra.telemetry import new_registry

HOST = "127.0.0.1"
LARGE_BYTES = 20_000_000


class World:
    """A server and what its endpoints wait for."""

    def __init__(self) -> None:
        self.port = free_port(HOST)
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Event()
        self.streams_open = 0
        routes = [
            Route("GET", "/hello", self._hello),
            Route("POST", "/hello", self._take),
            Route("POST", "/tenant", self._tenant),
            Route("GET", "/large", self._large),
            Route("GET", "/slow", self._slow),
            Route("GET", "/stream", self._stream),
            Route("GET", "/torrent", self._torrent),
        ]
        sockets = [
            SocketRoute("/ws", self._messages),
            SocketRoute("/flood", self._flood),
            SocketRoute("/full", self._full),
        ]
        self.application = Application(routes, WebMetrics(new_registry()), sockets)

    async def _hello(self, _: Request) -> Answer:
        return Answer(200, b'"hello"')

    async def _take(self, request: Request) -> Answer:
        return Answer(200, b"%d" % len(await request.body(100_000)))

    async def _tenant(self, request: Request) -> Answer:
        await request.body(100)
        return Answer(200, request.headers.get(b"foldwork-tenant", b"none"))

    async def _large(self, _: Request) -> Answer:
        return Answer(200, bytes(LARGE_BYTES))

    async def _slow(self, _: Request) -> Answer:
        self.asked.set()
        await self.may_answer.wait()
        return Answer(200, b'"done"')

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        self.streams_open += 1
        try:
            for number in range(1_000_000):
                yield b"%d " % number
                await asyncio.sleep(0.01)
        finally:
            self.streams_open -= 1

    async def _flood(self, _: Request) -> AsyncGenerator[bytes, None]:
        async def messages() -> AsyncGenerator[bytes, None]:
            async for _ in self._parts():
                yield b"x" * 1_000_000

        return messages()

    async def _torrent(self, request: Request) -> Stream:
        return Stream(b"first ", await self._flood(request), b"text/plain")

    async def _stream(self, _: Request) -> Stream:
        return Stream(b"first ", self._parts(), b"text/plain")

    async def _messages(self, _: Request) -> AsyncGenerator[bytes, None]:
        return self._parts()

    async def _full(self, _: Request) -> AsyncGenerator[bytes, None]:
        raise Overloaded("Too many requests are waiting.")

    async def ask(self, request: bytes) -> bytes:
        """All that comes back to some bytes until the server closes or says nothing for a moment."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            writer.write(request)
            while part := await asyncio.wait_for(reader.read(65_536), 0.3):
                answer += part
        writer.close()
        return answer


@asynccontextmanager
async def serving(world: World, **bounds: float) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(serve(world.application, HOST, world.port, **bounds))
    async with asyncio.timeout(5):
        while not await accepts(world.port):
            await asyncio.sleep(0.02)
    try:
        yield task
    finally:
        world.may_answer.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def until(what: Callable[[], bool], within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.01)
