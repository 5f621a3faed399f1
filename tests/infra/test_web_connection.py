"""One connection, byte by byte: what is a header, which request an answer belongs to, and clients that do not read."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.adapters.web_server import HEAD_BYTES_MAX
from tests.infra.web_world import HOST, LARGE_BYTES, World, serving, until

pytestmark = [pytest.mark.outside, pytest.mark.asyncio(loop_scope="module")]
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
CHUNKED = b"POST /tenant HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    world = World()
    async with serving(world, request_s_max=0.5, request_check_s=0.05):
        yield world


def problem_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    document = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % document["status"])
    return document["status"], document["type"].rpartition("/")[2]


class TestTrailers:
    @pytest.mark.parametrize("head", [b"", b"Foldwork-Tenant: mine\r\n"])
    async def test_are_no_headers(self, world: World, head: bytes) -> None:
        answer = await world.ask(CHUNKED + head + b"\r\n1\r\nx\r\n0\r\nFoldwork-Tenant: other\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"mine" if head else b"none")

    async def test_without_an_end_are_cut_off(self, world: World) -> None:
        trailers = b"".join(b"X-%d: y\r\n" % number for number in range(HEAD_BYTES_MAX))
        assert problem_of(await world.ask(CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + trailers)) == (400, "malformed")


class TestAHeader:
    @pytest.mark.parametrize("name", [b"Foldwork-Tenant", b"foldwork-actor", b"Idempotency-Key", b"Last-Event-ID"])
    async def test_that_says_who_asks_for_what_is_given_once(self, world: World, name: bytes) -> None:
        twice = b"%b: a\r\n%b: b\r\n" % (name, name.lower())
        answer = await world.ask(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + twice + b"\r\n")
        assert problem_of(answer) == (400, "malformed")

    async def test_of_others_may_be_repeated(self, world: World) -> None:
        twice = b"Accept: a\r\nAccept: b\r\n"
        answer = await world.ask(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + twice + b"\r\n")
        assert b'"hello"' in answer


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "request_",
        [b"NONSENSE\r\n\r\n", b"GET /hello HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_BYTES_MAX, CHUNKED + b"\r\nzz"],
    )
    async def test_is_answered_with_a_problem_document(self, world: World, request_: bytes) -> None:
        assert problem_of(await world.ask(request_)) == (400, "malformed")

    async def test_is_never_taken_for_the_answer_to_the_request_before_it(self, world: World) -> None:
        world.may_answer.clear()
        assert await world.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nNONSENSE\r\n\r\n") == b""

    async def test_does_not_break_into_an_answer_that_has_begun(self, world: World) -> None:
        reader, writer = await asyncio.open_connection(HOST, world.port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"3 ")
        writer.write(b"NONSENSE\r\n\r\n")
        assert b"400" not in await asyncio.wait_for(reader.read(), 3)
        writer.close()

    async def test_is_not_a_large_body_and_the_beginning_of_the_next_request(self, world: World) -> None:
        body = b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 99000\r\n\r\n" + b"x" * 99_000
        answer = await world.ask(body + b"GET /hello HTTP/1.1\r\nHo")
        assert answer.endswith(b"99000")


class TestAClientThatDoesNotRead:
    async def test_is_cut_off(self, world: World) -> None:
        sock = _deaf(world, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(1.5)
        sock.settimeout(1)
        assert await asyncio.to_thread(_size_of_what_comes, sock) < LARGE_BYTES

    @pytest.mark.parametrize("path", [b"/flood", b"/torrent"])
    async def test_ends_what_it_does_not_listen_to(self, world: World, path: bytes) -> None:
        upgrade = HANDSHAKE if path == b"/flood" else b""
        with _deaf(world, b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path, upgrade)):
            await until(lambda: world.streams_open == 1)
            await until(lambda: world.streams_open == 0)

    async def test_is_not_one_that_reads_slowly(self, world: World) -> None:
        reader, writer = await asyncio.open_connection(HOST, world.port, limit=1 << 16)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size = 0
        while part := await reader.read(LARGE_BYTES // 10):
            size += len(part)
            await asyncio.sleep(0.02)
        assert size > LARGE_BYTES
        writer.close()


def _deaf(world: World, request: bytes) -> socket.socket:
    """A client that has sent a request and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect((HOST, world.port))
    sock.sendall(request)
    return sock


class TestARefusedWebSocket:
    async def test_leaves_neither_an_error_nor_an_address_in_the_log(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        for path in (b"/nowhere?stream=task-secret", b"/full"):
            answer = await world.ask(b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path, HANDSHAKE))
            assert answer.startswith(b"HTTP/1.1 404" if b"nowhere" in path else b"HTTP/1.1 503")
        lines = [record.getMessage() for record in caplog.records]
        assert not [line for line in lines if HOST in line or "secret" in line]
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def _size_of_what_comes(sock: socket.socket) -> int:
    size = 0
    with sock:
        try:
            while part := sock.recv(1 << 20):
                size += len(part)
        except ConnectionError:
            pass
    return size
