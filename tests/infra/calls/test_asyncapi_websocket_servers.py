"""What a WebSocket server cannot do to a call: keep it for ever, fill its memory, or have it believe that a message came."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import JsonValue
from websockets.asyncio.server import ServerConnection

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, calling
from tests.infra.calls.websocket_documents import hearing, telling, version_3
from tests.infra.calls.websocket_server import WebSocketServer, says, websocket_server

pytestmark = pytest.mark.outside

PATH = "/v1/news"
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def heard() -> AsyncIterator[WebSocketServer]:
    async with websocket_server() as server:
        yield server


async def raw_server(behaviour: Raw) -> tuple[asyncio.Server, str]:
    made = await asyncio.start_server(behaviour, "127.0.0.1", 0)
    return made, f"127.0.0.1:{made.sockets[0].getsockname()[1]}"


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never say a word."""
    await reader.read()
    writer.close()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com\r\n\r\n")
    writer.close()


async def no_websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")
    writer.close()


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    try:
        while True:
            writer.write(b"a: b\r\n" * 100)
            await writer.drain()
    except OSError:
        pass


def ends(code: int, *before: str) -> Callable[[ServerConnection], Awaitable[None]]:
    """Say these, and end the connection with a code."""

    async def behaviour(connection: ServerConnection) -> None:
        await says(*before)(connection)
        await connection.close(code, "enough")

    return behaviour


class TestAServerThatIsNone:
    async def test_that_never_answers_is_a_timeout(self, server: OtherSide) -> None:
        silent, place = await raw_server(hold)
        async with silent, calling(connect_s_max=0.2) as context:
            for arguments in (
                telling(server, version_3(place), {"payload": 1}),
                hearing(server, version_3(place), {"amount": 1, "for": "PT0.1S"}),
            ):
                with pytest.raises(CallFailed, match="timeout 408"):
                    await carry_out("asyncapi", arguments, context)

    @pytest.mark.parametrize("behaviour", [no_http, no_websocket, endless_headers])
    async def test_that_speaks_something_else_fails(self, server: OtherSide, behaviour: Raw) -> None:
        other, place = await raw_server(behaviour)
        async with other, calling(connect_s_max=0.5) as context:
            with pytest.raises(CallFailed, match=r"communication 500|timeout 408"):
                await carry_out("asyncapi", hearing(server, version_3(place), {"amount": 1}), context)

    async def test_to_nobody_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 500"):
            await carry_out("asyncapi", telling(server, version_3("127.0.0.1:1"), {"payload": 1}), context)


class TestWhoPublishes:
    @pytest.mark.parametrize("code", [1000, 1001, 1011])
    async def test_fails_if_the_connection_ends_before_the_message_is_confirmed(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer, code: int
    ) -> None:
        async def end(connection: ServerConnection) -> None:
            # Nothing more is read: neither the message nor the question whether it came.
            connection.transport.pause_reading()
            await connection.close(code)

        heard.behaves[PATH] = end
        with pytest.raises(CallFailed, match="communication 500"):
            await carry_out("asyncapi", telling(server, version_3(heard.address), {"payload": 1}), context)
        assert heard.shaken[0].messages == []

    async def test_fails_if_nobody_confirms_the_message(self, server: OtherSide, heard: WebSocketServer) -> None:
        async def deaf(connection: ServerConnection) -> None:
            connection.transport.pause_reading()
            await asyncio.sleep(1)

        heard.behaves[PATH] = deaf
        async with calling(connect_s_max=0.3, close_s_max=0.1) as context:
            with pytest.raises(CallFailed, match=r"timeout 408: .*confirm"):
                await carry_out("asyncapi", telling(server, version_3(heard.address), {"payload": 1}), context)


class TestWhoListens:
    async def test_connects_again_once_it_is_cut(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        for code in (1000, 1001, 1011, 1012, 4000):
            heard.behaves[PATH] = ends(code, "1")
            before = len(heard.shaken)
            found = await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 3}), context)
            assert found == [{"payload": 1, "headers": {}}] * 3
            assert len(heard.shaken) == before + 3

    async def test_connects_again_to_one_that_was_away(self, server: OtherSide, context: CallContext) -> None:
        async with websocket_server() as first:
            first.behaves[PATH] = ends(1001, "1")
            arguments = hearing(server, version_3(first.address), {"amount": 2})
            found = asyncio.create_task(carry_out("asyncapi", arguments, context))
            while not first.shaken:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert not found.done()
        async with websocket_server(port=int(first.address.rpartition(":")[2])) as second:
            second.behaves[PATH] = says("2")
            taken = await found
        assert taken == [{"payload": 1, "headers": {}}, {"payload": 2, "headers": {}}]

    @pytest.mark.parametrize("before", [(), ("welcome",)])
    async def test_gives_up_on_one_that_says_nothing_that_counts_between_its_ends(
        self, server: OtherSide, heard: WebSocketServer, before: tuple[str, ...]
    ) -> None:
        heard.behaves[PATH] = ends(1001, *before)
        async with calling(reconnects_max=2) as context:
            choosing = CallContext("k", context.resources, keep=lambda message: False)
            with pytest.raises(CallFailed, match="communication 500"):
                await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 1}), choosing)
        assert len(heard.shaken) == 3

    async def test_connects_again_as_often_as_it_has_to_where_connections_hold(
        self, server: OtherSide, heard: WebSocketServer
    ) -> None:
        async def hold(connection: ServerConnection) -> None:
            await asyncio.sleep(0.15)
            await connection.close(1001)

        heard.behaves[PATH] = hold
        async with calling(reconnects_max=1, reconnect_s_max=0.1) as context:
            arguments = hearing(server, version_3(heard.address), {"amount": 1, "for": "PT1S"})
            assert await carry_out("asyncapi", arguments, context) == []
        assert len(heard.shaken) > 2

    async def test_has_what_it_has_when_its_time_is_over_while_it_is_cut(
        self, server: OtherSide, context: CallContext
    ) -> None:
        async with websocket_server() as heard:
            heard.behaves[PATH] = ends(1001, "1")
            arguments = hearing(server, version_3(heard.address), {"amount": 9, "for": "PT0.6S"})
            found = asyncio.create_task(carry_out("asyncapi", arguments, context))
            while not heard.shaken:
                await asyncio.sleep(0.01)
        taken = await found
        assert taken == [{"payload": 1, "headers": {}}]

    @pytest.mark.parametrize("code", [1003, 1008, 3000])
    async def test_does_not_connect_again_to_one_that_does_not_want_it(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer, code: int
    ) -> None:
        heard.behaves[PATH] = ends(code)
        with pytest.raises(CallFailed, match=f"communication 500: .*{code}: enough"):
            await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 1}), context)
        assert len(heard.shaken) == 1

    @pytest.mark.parametrize("sent", ["x" * 1_001, ["x" * 600, "y" * 600], ["x" * 2_000]])
    async def test_takes_no_message_that_is_too_large(
        self, server: OtherSide, heard: WebSocketServer, sent: Any
    ) -> None:
        async def behaviour(connection: ServerConnection) -> None:
            await connection.send("1")
            await connection.send(sent)

        heard.behaves[PATH] = behaviour
        async with calling(response_bytes_max=1_000) as context:
            arguments = hearing(server, version_3(heard.address), {"amount": 2})
            with pytest.raises(CallFailed, match=r"communication 500: .*more than 1000 bytes"):
                await carry_out("asyncapi", arguments, context)
        assert len(heard.shaken) == 1

    async def test_takes_no_more_than_its_bounds_from_one_that_talks_without_end(
        self, server: OtherSide, heard: WebSocketServer
    ) -> None:
        sent = 0

        async def talk(connection: ServerConnection) -> None:
            nonlocal sent
            while True:
                await connection.send('"' + "x" * 9_998 + '"')
                sent += 1

        heard.behaves[PATH] = talk
        async with calling(response_bytes_max=100_000) as context:
            arguments = hearing(server, version_3(heard.address), {"amount": 40})
            with pytest.raises(CallFailed, match="more than a call can take"):
                await carry_out("asyncapi", arguments, context)

            waited: list[JsonValue] = []

            async def take(message: JsonValue) -> bool:
                waited.append(message)
                await asyncio.sleep(0.6)
                return False

            sent = 0
            slow = CallContext(context.key, context.resources, take=take)
            began = time.monotonic()
            await carry_out("asyncapi", hearing(server, version_3(heard.address), {"while": "true"}), slow)
            assert len(waited) == 1
            # What is not taken waits with who sends it, but for what the buffers of two sockets hold.
            assert sent < 1_500
            assert time.monotonic() - began < 3

    async def test_ends_with_its_time_though_all_that_is_said_without_end_does_not_count(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        async def talk(connection: ServerConnection) -> None:
            while True:
                await connection.send("1")
                await asyncio.sleep(0)

        heard.behaves[PATH] = talk
        choosing = CallContext("k", context.resources, keep=lambda message: False)
        arguments = hearing(server, version_3(heard.address), {"amount": 1, "for": "PT0.3S"})
        async with asyncio.timeout(5):
            assert await carry_out("asyncapi", arguments, choosing) == []

    async def test_notices_one_that_is_gone_without_a_word(self, server: OtherSide, heard: WebSocketServer) -> None:
        async def deaf(connection: ServerConnection) -> None:
            connection.transport.pause_reading()
            await asyncio.sleep(1)

        heard.behaves[PATH] = deaf
        async with calling(ping_s=0.1, close_s_max=0.1, reconnects_max=1) as context:
            began = time.monotonic()
            with pytest.raises(CallFailed, match="communication 500"):
                await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 1}), context)
            assert time.monotonic() - began < 4
        assert len(heard.shaken) == 2

    async def test_without_an_end_is_a_timeout(self, server: OtherSide, heard: WebSocketServer) -> None:
        async with calling(subscription_s_max=0.2) as context:
            with pytest.raises(CallFailed, match="timeout 408"):
                await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 1}), context)
