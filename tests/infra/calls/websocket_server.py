"""The other side of a WebSocket: a real server on this machine, whose behaviour a test chooses and whose handshakes it can look at."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Behaviour = Callable[[ServerConnection], Awaitable[None]]
Refusal = Callable[[ServerConnection, Request], Response | None]
START_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Shaken:
    """A handshake as it came in, and the messages that came after it."""

    path: str
    headers: dict[str, str]
    messages: list[str | bytes] = field(default_factory=list)


class WebSocketServer:
    """Does with each connection what `behaves` says for its path, without the query; else it listens until the other side has enough."""

    def __init__(self) -> None:
        self.address = ""
        self.shaken: list[Shaken] = []
        self.behaves: dict[str, Behaviour] = {}
        self.refuses: Refusal = lambda connection, request: None

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.shaken.append(Shaken(request.path, headers))
        return self.refuses(connection, request)

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        shaken = next(each for each in reversed(self.shaken) if each.path == connection.request.path)
        with suppress(ConnectionClosed):
            behaviour = self.behaves.get(shaken.path.partition("?")[0])
            if behaviour is not None:
                await behaviour(connection)
            async for message in connection:
                shaken.messages.append(message)


def says(*messages: str | bytes) -> Behaviour:
    """Say these once, and go on listening."""

    async def behaviour(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)

    return behaviour


@asynccontextmanager
async def websocket_server(
    tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[WebSocketServer]:
    server = WebSocketServer()
    async with serve(
        server, host, port, ssl=tls, process_request=server.check, subprotocols=None, close_timeout=0.5
    ) as running:
        server.address = f"{host}:{next(iter(running.sockets)).getsockname()[1]}"
        yield server


@contextmanager
def websocket_server_in_a_thread() -> Iterator[WebSocketServer]:
    """For tests that wait without a loop."""
    loop, found, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    servers: list[WebSocketServer] = []

    async def run() -> None:
        async with websocket_server() as server:
            servers.append(server)
            found.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert found.wait(START_S_MAX)
    try:
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
