"""Answers that are huge, slow, broken or unpack to something huge: a clear error in bounded time and memory."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import httpx
import pytest
from starlette.responses import Response

from infra.calls.call import CallContext, CallFailed, carry_out
from infra.calls.unpacking import PIECES_AT_ONCE, bounded
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[str]:
    """A server that reads a request's head and then writes whatever the script says."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        server.close()


async def fails(script: Script, context: CallContext, **more: object) -> CallFailed:
    async with raw_server(script) as url:
        with pytest.raises(CallFailed) as failed:
            await carry_out("http", {"method": "get", "endpoint": url, **more}, context)
    return failed.value


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def hung_up(writer: asyncio.StreamWriter) -> None:
    return


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


async def no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Header: " + b"x" * 1_000 + b"\r\n")
        await writer.drain()


def packed(body: bytes, encoding: bytes = b"gzip") -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (encoding, len(body)) + body)
        await writer.drain()

    return script


class TestAnAnswer:
    async def test_without_an_end_is_cut_off(self) -> None:
        async with calling() as context:
            assert "more than 900000 bytes" in (await fails(endless, context)).detail

    async def test_that_fails_without_an_end_is_cut_off_too(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            writer.write(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b"\r\n\r\n')
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

        policy = {"digest": {"username": "a", "password": "b"}}
        async with raw_server(script) as url, calling() as context:
            for authentication in (None, policy):
                endpoint = {"uri": url, "authentication": authentication}
                with pytest.raises(CallFailed, match="communication"):
                    await carry_out("http", {"method": "get", "endpoint": endpoint}, context)

    @pytest.mark.parametrize("script", [drop_by_drop, silent])
    async def test_that_takes_too_long_is_a_timeout(self, script: Script) -> None:
        began = monotonic()
        async with calling(call_s_max=0.3) as context:
            failed = await fails(script, context)
        assert (failed.type, failed.status) == ("timeout", 408)
        assert monotonic() - began < 3

    @pytest.mark.parametrize("script", [hung_up, cut_off, no_http, endless_headers])
    async def test_that_is_none_is_a_failed_communication(self, script: Script) -> None:
        async with calling() as context:
            failed = await fails(script, context)
        assert (failed.type, failed.status) == ("communication", 500)

    @pytest.mark.parametrize("size", [1, 7, 1_000])
    async def test_packed_in_several_parts_is_unpacked_as_a_whole(self, size: int) -> None:
        body = gzip.compress(b"a" * 100) + gzip.compress(b"b") + bytes(50)

        class Pieces(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for start in range(0, len(body), size):
                    yield body[start : start + size]

        answer = bounded(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces()), 1_000)
        assert b"".join([piece async for piece in answer.aiter_raw()]) == b"a" * 100 + b"b"

    async def test_in_many_pieces_leaves_others_their_turn(self) -> None:
        class Pieces(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for _ in range(10 * PIECES_AT_ONCE):
                    yield b"x"

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turns, waiting = 0, asyncio.create_task(others())
        answer = bounded(httpx.Response(200, stream=Pieces()), 1_000)
        assert len(b"".join([piece async for piece in answer.aiter_raw()])) == 10 * PIECES_AT_ONCE
        waiting.cancel()
        assert turns >= 9

    async def test_that_unpacks_to_gigabytes_is_cut_off_in_little_memory(self) -> None:
        bomb = gzip.compress(b"") + gzip.compress(bytes(64 << 20))
        assert len(bomb) < 100_000
        tracemalloc.start()
        try:
            async with calling() as context:
                failed = await fails(packed(bomb), context)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert "more than 900000 bytes" in failed.detail
        assert peak < 20 << 20

    @pytest.mark.parametrize("encoding", [b"gzip, gzip", b"br", b"compress"])
    async def test_packed_in_a_way_that_was_not_asked_for_is_refused(self, encoding: bytes) -> None:
        async with calling() as context:
            failed = await fails(packed(gzip.compress(b"a"), encoding), context)
        assert (failed.type, failed.status) == ("communication", 500)

    @pytest.mark.parametrize(
        "body", [b"no gzip at all", gzip.compress(b"a" * 1_000)[:-12], gzip.compress(b"a") + gzip.compress(b"b")[:-9]]
    )
    async def test_packed_badly_is_a_failed_communication(self, body: bytes) -> None:
        async with calling() as context:
            assert (await fails(packed(body), context)).type == "communication"

    @pytest.mark.parametrize(
        "charset", ["punycode", "PUNYCODE", "idna", "undefined", "unicode_escape", "zip", "unheard-of"]
    )
    async def test_in_what_is_no_charset_of_any_server_is_read_as_utf_8(
        self, server: OtherSide, context: CallContext, charset: str
    ) -> None:
        text = "a-" + "b" * 200_000
        url = server.at("/a", Response(text, headers={"content-type": f"text/plain; charset={charset}"}))
        began = monotonic()
        assert await carry_out("http", {"method": "post", "endpoint": url}, context) == text
        assert monotonic() - began < 3

    async def test_nested_without_an_end_is_a_failed_communication(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            body = b"[" * 800_000
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()

        async with calling() as context:
            assert (await fails(script, context)).type == "communication"


class TestACallThatIsCancelled:
    async def test_lets_its_connection_go(self) -> None:
        async with raw_server(silent) as url, calling(connections_max=1, call_s_max=5) as context:
            calling_ = asyncio.create_task(carry_out("http", {"method": "get", "endpoint": url}, context))
            await asyncio.sleep(0.1)
            calling_.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling_
            async with raw_server(packed(gzip.compress(b"free"))) as other:
                assert await carry_out("http", {"method": "get", "endpoint": other}, context) == "free"
