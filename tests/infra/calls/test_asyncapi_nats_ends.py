"""What a NATS server says against a call, and a subscription over NATS whose connection ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import JsonValue

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside

INFO = b'INFO {"server_id": "s", "version": "2.14.0", "max_payload": 1048576, "headers": true}\r\n'


class ScriptedServer:
    """Answers the first so many pings of a connection, says something at what begins with a word, and hangs up after it if it is to."""

    def __init__(self) -> None:
        self.address = ""
        self.connections = 0
        self.pings_answered = 1_000
        self.says: dict[bytes, bytes] = {}
        self.hangs_up = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(INFO)
        pings = 0
        try:
            while line := await reader.readline():
                word = line.partition(b" ")[0].strip()
                if word == b"PING":
                    pings += 1
                    if pings <= self.pings_answered:
                        writer.write(b"PONG\r\n")
                    if pings == 2:
                        writer.write(self.says.get(b"PONG", b""))
                        await writer.drain()
                        if self.hangs_up:
                            # What has come and is not taken yet when a connection ends is lost with it.
                            await asyncio.sleep(0.1)
                            break
                writer.write(self.says.get(word, b"") if word != b"PONG" else b"")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: ScriptedServer, port: int = 0) -> AsyncIterator[asyncio.Server]:
    made = await asyncio.start_server(server, "127.0.0.1", port)
    server.address = "127.0.0.1:" + str(made.sockets[0].getsockname()[1])
    async with made:
        yield made


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    async with serving(server):
        yield server


def document(server: OtherSide, scripted: ScriptedServer) -> dict[str, Any]:
    described = {
        "asyncapi": "2.6.0",
        "servers": {"local": {"url": scripted.address, "protocol": "nats"}},
        "channels": {"hello": {"publish": {}, "subscribe": {}}},
    }
    return {"document": {"endpoint": server.at("/d.json", described)}, "channel": "hello"}


async def hear(context: CallContext, server: OtherSide, scripted: ScriptedServer, **consume: Any) -> JsonValue:
    return await carry_out("asyncapi", document(server, scripted) | {"subscription": {"consume": consume}}, context)


class TestWhatAServerForbids:
    async def test_was_not_published(self, context: CallContext, server: OtherSide, scripted: ScriptedServer) -> None:
        scripted.says = {b"HPUB": b"-ERR 'Permissions Violation for Publish to \"hello\"'\r\n"}
        with pytest.raises(CallFailed, match="authorization 403"):
            await carry_out("asyncapi", document(server, scripted) | {"message": {"payload": 1}}, context)

    async def test_is_not_waited_for(self, context: CallContext, server: OtherSide, scripted: ScriptedServer) -> None:
        scripted.says = {b"SUB": b"-ERR 'Permissions Violation for Subscription to \"hello\"'\r\n"}
        with pytest.raises(CallFailed, match="authorization 403"):
            await hear(context, server, scripted, amount=1)


class TestAServerThatDoesNotConfirm:
    async def test_that_it_listens_is_no_subscription_that_is_over(
        self, server: OtherSide, scripted: ScriptedServer
    ) -> None:
        scripted.pings_answered = 1
        async with calling(connect_s_max=1) as context:
            with pytest.raises(CallFailed, match="timeout 408"):
                await hear(context, server, scripted, amount=1, **{"for": "PT9S"})


class TestAServerThatSendsWithoutEnd:
    @pytest.mark.parametrize("beginning", [b"MSG hello 1 4000000000\r\n", b"HMSG hello 1 12 4000000000\r\n", b"+"])
    async def test_is_left_before_that_fills_the_memory(
        self, server: OtherSide, scripted: ScriptedServer, beginning: bytes
    ) -> None:
        scripted.says = {b"PONG": beginning + b"x" * 2_000_000}
        async with calling(reconnects_max=1) as context, asyncio.timeout(5):
            with pytest.raises(CallFailed, match="communication 500"):
                await hear(context, server, scripted, amount=1)
        assert scripted.connections == 2

    @pytest.mark.parametrize(
        "message",
        [
            b"MSG hello 1 0\r\n\r\n",
            b"HMSG hello 1 3012 3012\r\nNATS/1.0\r\n" + b"a:b\r\n" * 600 + b"\r\n\r\n",
            b"HMSG hello 1 3017 3017\r\nNATS/1.0\r\nName:" + b"x" * 2_998 + b"\r\n\r\n\r\n",
        ],
        ids=["empty", "many headers", "long header"],
    )
    async def test_is_not_kept_beyond_the_bound_whatever_the_messages_consist_of(
        self, server: OtherSide, scripted: ScriptedServer, message: bytes
    ) -> None:
        taken = 0

        async def take(message: JsonValue) -> bool:
            nonlocal taken
            taken += 1
            await asyncio.sleep(0.3 if taken == 1 else 0)
            return True

        scripted.says = {b"PONG": message * 1_000}
        async with calling(pending_bytes_max=30_000) as context:
            taking = CallContext("k", context.resources, take=take)
            await hear(taking, server, scripted, **{"while": "true", "for": "PT0.6S"})
        assert 1 <= taken <= 101

    async def test_is_heard_up_to_the_bound(self, server: OtherSide, scripted: ScriptedServer) -> None:
        scripted.says = {b"PONG": b"MSG hello 1 100000\r\n" + b"x" * 100_000 + b"\r\n"}
        async with calling(response_bytes_max=100_000) as context:
            (found,) = await hear(context, server, scripted, amount=1)
        assert len(found["payload"]) == 100_000


class TestASubscriptionThatIsCut:
    async def test_is_made_again(self, context: CallContext, server: OtherSide, scripted: ScriptedServer) -> None:
        scripted.says, scripted.hangs_up = {b"PONG": b"MSG hello 1 2\r\n42\r\n"}, True
        found = await hear(context, server, scripted, amount=2)
        assert found == [{"payload": 42, "headers": {}}] * 2
        assert scripted.connections == 2

    async def test_fails_if_nothing_comes_of_that(self, server: OtherSide, scripted: ScriptedServer) -> None:
        scripted.hangs_up = True
        async with calling(reconnects_max=2) as context:
            with pytest.raises(CallFailed, match="communication 500"):
                await hear(context, server, scripted, amount=1)
        assert scripted.connections == 3


class TestWhatIsRaisedWhereAMessageIsTaken:
    @pytest.mark.parametrize("raised", [ValueError, OSError])
    async def test_goes_through(
        self, context: CallContext, server: OtherSide, scripted: ScriptedServer, raised: type[Exception]
    ) -> None:
        async def take(message: JsonValue) -> bool:
            raise raised("not the server's fault")

        scripted.says = {b"PONG": b"MSG hello 1 2\r\n42\r\n"}
        with pytest.raises(raised, match="not the server's fault"):
            await hear(CallContext("k", context.resources, take=take), server, scripted, **{"while": "true"})

    async def test_if_it_is_late_is_not_taken_for_the_end_of_the_subscription(
        self, context: CallContext, server: OtherSide, scripted: ScriptedServer
    ) -> None:
        async def take(message: JsonValue) -> bool:
            raise TimeoutError

        scripted.says = {b"PONG": b"MSG hello 1 2\r\n42\r\n"}
        taking = CallContext("k", context.resources, take=take)
        for consume in ({"while": "true"}, {"while": "true", "for": "PT9S"}):
            with pytest.raises(CallFailed, match=r"timeout 408: .*something it needs"):
                await hear(taking, server, scripted, **consume)
