"""`call: asyncapi` over NATS: publishing, and collecting messages (reference: AsyncAPI Call, AsyncAPI Subscription)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import nats
import orjson
import pytest
from nats.aio.client import Client

from infra.calls.call import CallContext, CallFailed, carry_out
from infra.embedded.nats import EmbeddedNats
from tests.infra.calls.other_side import OtherSide, calling

pytestmark = pytest.mark.outside


def version_3(host: str) -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "servers": {
            "broker": {"host": "kafka.example.com", "protocol": "kafka"},
            "greetings": {"$ref": "#/components/servers/Nats"},
        },
        "components": {
            "servers": {
                "Nats": {
                    "host": "{environment}",
                    "protocol": "nats",
                    "variables": {"environment": {"default": "nowhere.invalid", "enum": ["nowhere.invalid", host]}},
                }
            }
        },
        "channels": {
            "greet": {"address": "greetings.hello"},
            "everywhere": {"address": "rooms.{room}"},
            "streamed": {"address": "x", "servers": [{"$ref": "#/servers/broker"}]},
        },
        "operations": {
            "greet": {"action": "send", "channel": {"$ref": "#/channels/greet"}},
            "room": {"action": "send", "channel": {"$ref": "#/channels/everywhere"}},
            "stream": {"action": "send", "channel": {"$ref": "#/channels/streamed"}},
        },
    }


def version_2(host: str) -> dict[str, Any]:
    return {
        "asyncapi": "2.6.0",
        "servers": {"local": {"url": f"nats://{host}", "protocol": "nats"}},
        "channels": {"/notifications": {"publish": {}, "subscribe": {"bindings": {"nats": {"queue": "workers"}}}}},
    }


@pytest.fixture
def broker(embedded_nats: EmbeddedNats) -> str:
    parts = urlsplit(embedded_nats.url)
    return f"{parts.hostname}:{parts.port}"


@pytest.fixture
async def client(embedded_nats: EmbeddedNats) -> AsyncIterator[Client]:
    connected = await nats.connect(embedded_nats.url)
    yield connected
    await connected.close()


def new(server: OtherSide, broker: str, **more: Any) -> dict[str, Any]:
    document = {"endpoint": server.at("/3.json", version_3(broker))}
    chosen = {"name": "greetings", "variables": {"environment": broker}}
    return {"document": document, "operation": "greet", "server": chosen, **more}


def old(server: OtherSide, broker: str, **more: Any) -> dict[str, Any]:
    return {"document": {"endpoint": server.at("/2.json", version_2(broker))}, "channel": "/notifications", **more}


async def say(client: Client, subject: str, *payloads: Any, **headers: str) -> None:
    """Publish again and again, until the task that does so is ended: nobody knows when the other side listens."""
    while True:
        for payload in payloads:
            await client.publish(subject, orjson.dumps(payload), headers=headers or None)
        await client.flush()
        await asyncio.sleep(0.02)


async def hear(
    context: CallContext, arguments: dict[str, Any], client: Client, subject: str, *said: Any, **headers: str
) -> Any:
    saying = asyncio.create_task(say(client, subject, *said, **headers))
    try:
        return await carry_out("asyncapi", arguments, context)
    finally:
        saying.cancel()


class TestPublishing:
    async def test_sends_payload_and_headers(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        listening = await client.subscribe("greetings.hello")
        await client.flush()
        message = {"payload": {"greetings": "Hello, World!"}, "headers": {"foo": "bar", "n": 1}}
        found = await carry_out("asyncapi", new(server, broker, message=message), context)
        received = await listening.next_msg(2)
        assert orjson.loads(received.data) == {"greetings": "Hello, World!"}
        assert received.headers == {"Nats-Msg-Id": "call-1", "foo": "bar", "n": "1"}
        assert found == {"payload": {"greetings": "Hello, World!"}, "headers": {"foo": "bar", "n": "1"}}

    async def test_knows_documents_of_version_2(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        listening = await client.subscribe("/notifications")
        await client.flush()
        await carry_out("asyncapi", old(server, broker, message={"payload": [1]}, protocol="nats"), context)
        assert (await listening.next_msg(2)).data == b"[1]"

    async def test_reaches_no_server_that_is_not_allowed(self, server: OtherSide, broker: str) -> None:
        async with calling(networks_allowed=(), origins={"http://documents.example.com": server.url}) as context:
            arguments = new(server, broker, message={"payload": 1})
            arguments["document"] = {"endpoint": "http://documents.example.com/3.json"}
            with pytest.raises(CallFailed, match="authorization 403"):
                await carry_out("asyncapi", arguments, context)

    async def test_goes_where_the_operator_sends_a_server(self, server: OtherSide, broker: str, client: Client) -> None:
        listening = await client.subscribe("/notifications")
        await client.flush()
        origins = {"nats://nats.example.com:4222": f"nats://{broker}"}
        async with calling(origins=origins) as context:
            await carry_out("asyncapi", old(server, "nats.example.com", message={"payload": 2}), context)
        assert (await listening.next_msg(2)).data == b"2"

    async def test_to_nobody_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match=r"communication 500|timeout 408"):
            await carry_out("asyncapi", old(server, "127.0.0.1:1", message={"payload": 1}), context)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"operation": "unknown"},
            {"operation": "room"},
            {"operation": "stream", "server": None},
            {"protocol": "amqp", "server": None},
            {"protocol": "kafka", "server": None},
            {"server": {"name": "unknown"}},
            {"server": {"name": "broker"}},
            {"server": {"name": "greetings", "variables": {"environment": "evil.example.com"}}},
            {"message": None},
            {"subscription": {"consume": {"amount": 1}}},
            {"authentication": {"digest": {"username": "a", "password": "b"}}},
        ],
    )
    async def test_of_what_the_document_does_not_say_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, broker: str, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("asyncapi", new(server, broker, message={"payload": 1}) | wrong, context)


class TestSubscribing:
    async def test_collects_an_amount(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        arguments = new(server, broker, subscription={"consume": {"amount": 3}})
        found = await hear(context, arguments, client, "greetings.hello", {"a": 1}, Foo="bar", correlationId="7")
        headers = {"Foo": "bar", "correlationId": "7"}
        assert found == [{"payload": {"a": 1}, "headers": headers, "correlationId": "7"}] * 3

    async def test_collects_for_a_while(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        arguments = new(server, broker, subscription={"consume": {"amount": 900, "for": {"milliseconds": 200}}})
        found = await hear(context, arguments, client, "greetings.hello", "x")
        assert 0 < len(found) < 900
        assert found[0] == {"payload": "x", "headers": {}}

    async def test_collects_only_what_is_to_be_kept(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        arguments = new(server, broker, subscription={"consume": {"amount": 2}})
        choosing = replace(context, keep=lambda message: message["payload"] > 1)  # type: ignore[index, operator, call-overload]
        found = await hear(choosing, arguments, client, "greetings.hello", 1, 2, 3)
        assert [message["payload"] for message in found] == [2, 3]

    async def test_goes_on_while_it_is_told_to(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        arguments = new(server, broker, subscription={"consume": {"until": "..."}})
        ending = replace(context, go_on=lambda messages: len(messages) < 4)
        assert len(await hear(ending, arguments, client, "greetings.hello", 1)) == 4

    async def test_shares_messages_with_its_queue_group(
        self, server: OtherSide, context: CallContext, broker: str, client: Client
    ) -> None:
        others = await client.subscribe("/notifications", queue="workers")
        await client.flush()
        arguments = old(server, broker, subscription={"consume": {"amount": 3}})
        assert len(await hear(context, arguments, client, "/notifications", 1)) == 3
        assert others.pending_msgs > 0

    async def test_takes_no_more_than_its_bounds(self, server: OtherSide, broker: str, client: Client) -> None:
        async with calling(response_bytes_max=1_000, messages_max=50) as context:
            arguments = old(server, broker, subscription={"consume": {"amount": 40}})
            with pytest.raises(CallFailed, match="communication 500"):
                await hear(context, arguments, client, "/notifications", "x" * 100)
            for consume in ({"amount": 51}, {"amount": 0}, {}):
                with pytest.raises(CallFailed, match="configuration 400"):
                    await carry_out("asyncapi", old(server, broker, subscription={"consume": consume}), context)

    async def test_without_an_end_is_a_timeout(self, server: OtherSide, broker: str) -> None:
        async with calling(subscription_s_max=0.2) as context:
            arguments = old(server, broker, subscription={"consume": {"amount": 1}})
            with pytest.raises(CallFailed, match="timeout 408"):
                await carry_out("asyncapi", arguments, context)
