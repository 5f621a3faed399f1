"""What a NATS server gets to know of a call, and what it cannot talk a call into."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import orjson
import pytest
from starlette.responses import JSONResponse

from infra.calls.call import CallContext, CallFailed, CallSettings, carry_out, open_resources
from tests.infra.calls.other_side import LOOPBACK, OtherSide, calling, silent

pytestmark = pytest.mark.outside


class TalkativeServer:
    """Says what a NATS server says, and whatever else a test wants; `credentials` are what it got to know."""

    def __init__(self) -> None:
        self.address = ""
        self.info: dict[str, Any] = {"server_id": "s", "version": "2.14.0", "max_payload": 1_048_576, "headers": True}
        self.credentials: list[dict[str, Any]] = []
        self.connections = 0
        self.open = 0
        self.refuses = False
        self.says_nothing = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        if not self.says_nothing:
            writer.write(b"INFO " + orjson.dumps(self.info) + b"\r\n")
        try:
            while line := await reader.readline():
                if line.startswith(b"CONNECT "):
                    self.credentials.append(orjson.loads(line[8:]))
                elif line.startswith(b"PING"):
                    writer.write(b"-ERR 'Authorization Violation'\r\n" if self.refuses else b"PONG\r\n")
                    await writer.drain()
        except OSError:
            pass
        finally:
            self.open -= 1
            writer.close()


async def listening(server: TalkativeServer) -> asyncio.Server:
    made = await asyncio.start_server(server, "127.0.0.1", 0)
    server.address = "127.0.0.1:" + str(made.sockets[0].getsockname()[1])
    return made


@pytest.fixture
async def talkative() -> AsyncIterator[TalkativeServer]:
    server = TalkativeServer()
    async with await listening(server):
        yield server


async def publish(context: CallContext, server: OtherSide, url: str, policy: dict[str, Any] | None = None) -> Any:
    document = {
        "asyncapi": "2.6.0",
        "servers": {"local": {"url": url, "protocol": "nats"}},
        "channels": {"hello": {"publish": {}}},
    }
    arguments = {
        "document": {"endpoint": server.at("/d.json", document)},
        "channel": "hello",
        "message": {"payload": 1},
        "authentication": policy,
    }
    return await carry_out("asyncapi", arguments, context)


class TestAServerWithSeveralAddresses:
    @pytest.mark.parametrize("says_nothing", [False, True])
    async def test_is_found_at_the_one_where_it_listens(
        self, server: OtherSide, talkative: TalkativeServer, says_nothing: bool
    ) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.98", "127.0.0.1"]

        origins = {"http://docs.example.com": server.url}
        settings = CallSettings(networks_allowed=LOOPBACK, origins=origins, connect_s_max=1)
        port = int(talkative.address.partition(":")[2])
        with silent("127.0.0.98", port) if says_nothing else nullcontext():
            async with open_resources(settings, resolve) as resources:
                await publish(CallContext("k", resources), server, f"news.example.com:{port}")
        assert talkative.connections == 1


class TestAServer:
    @pytest.mark.parametrize(
        ("policy", "known"),
        [
            (None, {}),
            ({"basic": {"username": "anna", "password": "pw"}}, {"user": "anna", "pass": "pw"}),
            ({"bearer": {"token": "t1"}}, {"auth_token": "t1"}),
        ],
    )
    async def test_gets_the_credentials_of_the_policy(
        self, context: CallContext, server: OtherSide, talkative: TalkativeServer, policy: Any, known: dict[str, str]
    ) -> None:
        talkative.info["auth_required"] = policy is not None
        await publish(context, server, talkative.address, policy)
        assert talkative.credentials[0].items() >= known.items()
        assert {"user", "pass", "auth_token"} & set(talkative.credentials[0]) == set(known)

    async def test_that_refuses_them_is_a_failed_authentication(
        self, context: CallContext, server: OtherSide, talkative: TalkativeServer
    ) -> None:
        talkative.refuses = True
        with pytest.raises(CallFailed, match="authentication 401") as failed:
            await publish(context, server, talkative.address, {"bearer": {"token": "secret-token"}})
        assert "secret-token" not in failed.value.detail

    async def test_that_refuses_a_token_gets_a_new_one_the_next_time(
        self, context: CallContext, server: OtherSide, talkative: TalkativeServer
    ) -> None:
        tokens = iter(["revoked", "t2"])
        server.at("/oauth2/token", lambda _: JSONResponse({"access_token": next(tokens), "expires_in": 3600}))
        client = {"id": "runner", "secret": "s3cret"}
        policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": client}}
        talkative.info["auth_required"] = talkative.refuses = True
        with pytest.raises(CallFailed, match="authentication 401"):
            await publish(context, server, talkative.address, policy)
        talkative.refuses = False
        await publish(context, server, talkative.address, policy)
        assert [each["auth_token"] for each in talkative.credentials] == ["revoked", "t2"]

    async def test_gets_nobody_to_connect_to_others(
        self, context: CallContext, server: OtherSide, talkative: TalkativeServer
    ) -> None:
        other = TalkativeServer()
        async with await listening(other):
            talkative.info["connect_urls"] = [other.address]
            talkative.refuses = True
            for _ in range(3):
                with pytest.raises(CallFailed, match="authentication 401"):
                    await publish(context, server, talkative.address)
        assert (talkative.connections, other.connections) == (3, 0)

    @pytest.mark.parametrize("says_nothing", [False, True])
    async def test_with_which_no_connection_comes_about_is_let_go(
        self, server: OtherSide, talkative: TalkativeServer, says_nothing: bool
    ) -> None:
        talkative.says_nothing, talkative.refuses = says_nothing, True
        async with calling(connect_s_max=0.3) as context:
            with pytest.raises(CallFailed) as failed:
                await publish(context, server, talkative.address)
            async with asyncio.timeout(2):
                while talkative.open:
                    await asyncio.sleep(0.01)
        assert failed.value.type == ("timeout" if says_nothing else "authentication")

    async def test_without_tls_gets_no_credentials_that_are_meant_for_one_with_it(
        self, context: CallContext, server: OtherSide, talkative: TalkativeServer
    ) -> None:
        with pytest.raises(CallFailed, match="communication 500"):
            await publish(context, server, f"tls://{talkative.address}", {"bearer": {"token": "t1"}})
        assert talkative.credentials == []
