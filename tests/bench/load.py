"""A bounded HTTP load from one process: raw sockets, since a client library would cost more than the server under test."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

Request = Callable[[int], bytes]


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length or self._answer is None:
            return
        answer, self._answer, self._buffer = self._answer, None, b""
        answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.set_exception(ConnectionResetError())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and give the status and the body of its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def post(path: str, body: bytes, extra: str = "") -> bytes:
    """A POST of JSON as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def get(path: str, extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{extra}\r\n".encode()


async def hammer(
    port: int, connections: int, requests: int, request: Request, *, status: int
) -> tuple[float, list[float]]:
    """Send `requests` over `connections` at once; gives requests/s and the latencies in seconds, sorted."""
    latencies: list[float] = []
    numbers = iter(range(requests))

    async def work() -> None:
        connection = await connect(port)
        for number in numbers:
            begun = time.perf_counter()
            answered, body = await connection.ask(request(number))
            latencies.append(time.perf_counter() - begun)
            if answered != status:
                raise RuntimeError(f"status {answered}: {body[:300]!r}")

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return requests / (time.perf_counter() - begun), sorted(latencies)


def percentile(sorted_values: list[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
