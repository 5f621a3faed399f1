"""`call: asyncapi` over WebSocket: publishing, collecting messages, and what the handshake says (AsyncAPI's WebSocket binding)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from pydantic import JsonValue
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, calling
from tests.infra.calls.websocket_documents import hearing, telling, version_2, version_3
from tests.infra.calls.websocket_server import WebSocketServer, says, websocket_server

pytestmark = pytest.mark.outside
PAYLOAD = {"payload": {"greetings": "Hello, Wörld!"}}


@pytest.fixture
async def heard() -> AsyncIterator[WebSocketServer]:
    async with websocket_server() as server:
        yield server


async def until_heard(server: WebSocketServer) -> list[Any]:
    """The messages of the last connection, once there are any."""
    async with asyncio.timeout(2):
        while not server.shaken[-1].messages:
            await asyncio.sleep(0.01)
    return server.shaken[-1].messages


class TestPublishing:
    async def test_sends_the_payload_as_text_on_the_path_of_server_and_channel(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        found = await carry_out("asyncapi", telling(server, version_3(heard.address), PAYLOAD), context)
        assert [orjson.loads(each) for each in await until_heard(heard)] == [PAYLOAD["payload"]]
        assert isinstance(heard.shaken[0].messages[0], str)
        assert heard.shaken[0].path == "/v1/news"
        assert found == PAYLOAD | {"headers": {}}

    async def test_knows_documents_of_version_2(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        arguments = telling(server, version_2(f"ws://{heard.address}/v2/"), PAYLOAD, protocol="ws")
        await carry_out("asyncapi", arguments, context)
        assert heard.shaken[0].path == "/v2/news"

    async def test_sends_the_headers_and_the_calls_key_with_the_handshake(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        message = PAYLOAD | {"headers": {"X-Foo": "bar", "n": 1}}
        found = await carry_out("asyncapi", telling(server, version_3(heard.address), message), context)
        assert heard.shaken[0].headers.items() >= {"x-foo": "bar", "n": "1", "idempotency-key": "call-1"}.items()
        assert heard.shaken[0].headers["host"] == heard.address
        assert found == PAYLOAD | {"headers": {"X-Foo": "bar", "n": "1"}}

    async def test_to_one_that_talks_without_end_is_done(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        async def talk(connection: ServerConnection) -> None:
            while True:
                await connection.send("x" * 50_000)

        heard.behaves["/v1/news"] = talk
        async with asyncio.timeout(8):
            await carry_out("asyncapi", telling(server, version_3(heard.address), PAYLOAD), context)

    async def test_of_what_is_refused_fails(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        async def refuse(connection: ServerConnection) -> None:
            await connection.recv()
            await connection.close(1008, "we want no greetings")

        heard.behaves["/v1/news"] = refuse
        with pytest.raises(CallFailed, match="communication 500") as failed:
            await carry_out("asyncapi", telling(server, version_3(heard.address), PAYLOAD), context)
        assert "1008: we want no greetings" in failed.value.detail

    async def test_of_too_much_is_refused(self, server: OtherSide, heard: WebSocketServer) -> None:
        async with calling(request_bytes_max=100) as context:
            arguments = telling(server, version_3(heard.address), {"payload": "x" * 100})
            with pytest.raises(CallFailed, match="configuration 413"):
                await carry_out("asyncapi", arguments, context)
        assert heard.shaken == []


class TestSubscribing:
    async def test_collects_an_amount(self, server: OtherSide, context: CallContext, heard: WebSocketServer) -> None:
        heard.behaves["/v1/news"] = says('{"a": 1}', "no JSON", b"\xff", b'"b"', "late")
        found = await carry_out("asyncapi", hearing(server, version_3(heard.address), {"amount": 4}), context)
        assert found == [{"payload": payload, "headers": {}} for payload in ({"a": 1}, "no JSON", "/w==", "b")]

    async def test_collects_for_a_while(self, server: OtherSide, context: CallContext, heard: WebSocketServer) -> None:
        heard.behaves["/v1/news"] = says("1", "2")
        consume: dict[str, Any] = {"amount": 900, "for": {"milliseconds": 200}}
        found = await carry_out("asyncapi", hearing(server, version_3(heard.address), consume), context)
        assert isinstance(found, list)
        assert len(found) == 2

    async def test_collects_only_what_is_to_be_kept_and_goes_on_while_it_is_told_to(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        heard.behaves["/v1/news"] = says(*map(str, range(9)))
        choosing = replace(
            context,
            keep=lambda message: message["payload"] % 2 == 1,  # type: ignore[index, operator, call-overload]
            go_on=lambda messages: len(messages) < 3,
        )
        found = await carry_out("asyncapi", hearing(server, version_3(heard.address), {"until": "..."}), choosing)
        assert found == [{"payload": each, "headers": {}} for each in (1, 3, 5)]

    async def test_hands_over_each_message_until_there_is_enough(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        heard.behaves["/v1/news"] = says("1", "2", "3", "4")
        taken: list[JsonValue] = []

        async def take(message: JsonValue) -> bool:
            taken.append(message)
            return len(taken) < 3

        arguments = hearing(server, version_3(heard.address), {"while": "true"})
        assert await carry_out("asyncapi", arguments, replace(context, take=take)) == []
        assert [each["payload"] for each in taken] == [1, 2, 3]  # type: ignore[index, call-overload]

    async def test_finds_the_correlation_id_where_the_document_says(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        heard.behaves["/v1/news"] = says('{"meta": {"id": "u1"}}', '{"meta": 1}', '{"meta": {"id": 7}}')
        about = {"correlationId": {"$ref": "#/components/correlationIds/own"}}
        document = version_3(heard.address, messages={"one": about})
        document["components"] = {"correlationIds": {"own": {"location": "$message.payload#/meta/id"}}}
        found = await carry_out("asyncapi", hearing(server, document, {"amount": 3}), context)
        assert isinstance(found, list)
        assert [each.get("correlationId") for each in found] == ["u1", None, "7"]  # type: ignore[union-attr]

    async def test_that_a_message_breaks_goes_through(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        def broken(message: JsonValue) -> bool:
            raise OSError("the filter is broken")

        heard.behaves["/v1/news"] = says("1")
        arguments = hearing(server, version_3(heard.address), {"amount": 1})
        with pytest.raises(OSError, match="the filter is broken"):
            await carry_out("asyncapi", arguments, replace(context, keep=broken))


NEWS = {
    "bindings": {
        "ws": {
            "method": "GET",
            "query": {
                "type": "object",
                "required": ["room"],
                "properties": {
                    "room": {"type": "string", "enum": ["a b", "c"]},
                    "v": {"const": 2},
                    "optional": {"type": "string"},
                },
            },
            "headers": {"$ref": "#/components/schemas/Headers"},
        }
    }
}
SCHEMAS = {
    "schemas": {
        "Headers": {
            "type": "object",
            "properties": {
                "X-Version": {"default": "7"},
                "X-Kind": {"enum": ["news"]},
                "Sec-WebSocket-Protocol": {"default": "chat.v1, chat.v2"},
            },
        }
    }
}


def bound(heard: WebSocketServer, **variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A document with a binding, and the server of a call with values for it."""
    document = version_3(heard.address, **NEWS) | {"components": SCHEMAS}
    return document, {"server": {"name": "main", "variables": variables}}


class TestTheHandshake:
    async def test_says_what_the_channels_binding_describes(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        document, chosen = bound(heard, room="a b")
        heard.behaves["/v1/news"] = says("1")
        await carry_out("asyncapi", hearing(server, document, {"amount": 1}, **chosen), context)
        assert heard.shaken[0].path in ("/v1/news?room=a+b&v=2", "/v1/news?room=a%20b&v=2")
        said = {"x-version": "7", "x-kind": "news", "sec-websocket-protocol": "chat.v1, chat.v2"}
        assert heard.shaken[0].headers.items() >= said.items()
        assert "idempotency-key" not in heard.shaken[0].headers

    async def test_says_what_the_message_does_in_the_place_of_the_binding(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        document, chosen = bound(heard, room="c", **{"X-Version": "8"})
        message = {"payload": 1, "headers": {"x-version": "9"}}
        await carry_out("asyncapi", telling(server, document, message, **chosen), context)
        assert heard.shaken[0].headers["x-version"] == "9"

    @pytest.mark.parametrize(
        ("variables", "headers", "channel"),
        [
            ({}, {}, {}),
            ({"room": "d"}, {}, {}),
            ({"room": "c"}, {"x-kind": "old"}, {}),
            ({"room": "c"}, {"a b": "c"}, {}),
            ({"room": "c"}, {"a": "b\r\nc: d"}, {}),
            ({"room": "c"}, {"a": "é"}, {}),
            ({"room": "c"}, {"Host": "example.com"}, {}),
            ({"room": "c"}, {"Sec-WebSocket-Key": "example.com"}, {}),
            ({"room": "c"}, {"Sec-WebSocket-Protocol": "a b"}, {}),
            ({"room": "c"}, {"a": "b"}, {"bindings": {"ws": {"headers": {"additionalProperties": False}}}}),
            ({"room": "c"}, {}, {"bindings": {"ws": {"method": "POST"}}}),
            ({"room": "c"}, {}, {"address": "/{room}"}),
        ],
    )
    async def test_that_cannot_be_made_is_a_matter_of_configuration(
        self,
        server: OtherSide,
        context: CallContext,
        heard: WebSocketServer,
        variables: Any,
        headers: Any,
        channel: dict[str, Any],
    ) -> None:
        document, chosen = bound(heard, **variables)
        document["channels"]["news"] |= channel
        message = {"payload": 1, "headers": headers}
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("asyncapi", telling(server, document, message, **chosen), context)
        assert heard.shaken == []

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            ({"basic": {"username": "anna", "password": "pw"}}, "Basic YW5uYTpwdw=="),
            ({"bearer": {"token": "t1"}}, "Bearer t1"),
        ],
    )
    async def test_carries_the_credentials_of_the_policy(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer, policy: Any, said: str
    ) -> None:
        arguments = telling(server, version_3(heard.address), PAYLOAD, authentication=policy)
        await carry_out("asyncapi", arguments, context)
        assert heard.shaken[0].headers["authorization"] == said

    async def test_answers_a_challenge(self, server: OtherSide, context: CallContext, heard: WebSocketServer) -> None:
        def challenge(connection: ServerConnection, request: Request) -> Response | None:
            if request.headers.get("Authorization", "").startswith("Digest "):
                return None
            said = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
            return Response(401, "Unauthorized", Headers({"WWW-Authenticate": said}), b"")

        heard.refuses = challenge
        policy = {"digest": {"username": "anna", "password": "pw"}}
        arguments = telling(server, version_3(heard.address), PAYLOAD, authentication=policy)
        await carry_out("asyncapi", arguments, context)
        answer = heard.shaken[1].headers["authorization"]
        assert len(heard.shaken) == 2
        assert 'username="anna"' in answer
        assert 'uri="/v1/news"' in answer

    @pytest.mark.parametrize(
        "policy", [{"bearer": {"token": "secret-t1"}}, {"digest": {"username": "a", "password": "secret-t1"}}]
    )
    async def test_that_is_refused_is_a_failed_authentication(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer, policy: Any
    ) -> None:
        heard.refuses = lambda connection, request: connection.respond(HTTPStatus.UNAUTHORIZED, "secret-t1")
        arguments = telling(server, version_3(heard.address), PAYLOAD, authentication=policy)
        with pytest.raises(CallFailed, match="authentication 401") as failed:
            await carry_out("asyncapi", arguments, context)
        assert "secret-t1" not in failed.value.detail

    async def test_that_is_answered_otherwise_fails_with_that_status(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer
    ) -> None:
        heard.refuses = lambda connection, request: connection.respond(
            HTTPStatus.CONFLICT, "too many, Bearer secret-t1"
        )
        policy = {"bearer": {"token": "secret-t1"}}
        arguments = telling(server, version_3(heard.address), PAYLOAD, authentication=policy)
        with pytest.raises(CallFailed, match=r"communication 409: .*too many") as failed:
            await carry_out("asyncapi", arguments, context)
        assert "secret-t1" not in failed.value.detail
