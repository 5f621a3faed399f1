"""What the reference says of AsyncAPI and no example shows, over NATS: which server, which operation, which messages, and until when."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
import orjson
import pytest
from nats.aio.client import Client

from infra.supervisor import Supervisor
from tests.kit.outside import Answer, Outside
from tests.kit.routes import FAKE
from tests.kit.system import Run, Workflows
from tests.write_side.dsl_case import HEAD, definition

pytestmark = pytest.mark.servers

DOCUMENT = f"{FAKE}/docs/asyncapi.json"
NOBODY = "127.0.0.1:1"
KAFKA = {"host": "kafka.example.com", "protocol": "kafka"}
SUBJECT = "kit.asyncapi"
FETCHES_MAX = 3
"""A call that is tried again fetches its document again."""


@pytest.fixture
async def broker(system: Supervisor) -> AsyncIterator[Client]:
    assert system.settings.nats_url is not None
    client = await nats.connect(system.settings.nats_url)
    yield client
    await client.close()


@pytest.fixture
def host(system: Supervisor) -> str:
    assert system.settings.nats_url is not None
    return system.settings.nats_url.removeprefix("nats://")


def version_3(servers: dict[str, Any], named: list[str] | None = None) -> dict[str, Any]:
    """A document with one channel, which is on the servers that are named or else on all of them."""
    channel: dict[str, Any] = {"address": SUBJECT}
    if named is not None:
        channel["servers"] = [{"$ref": f"#/servers/{name}"} for name in named]
    channels = {"greetings": channel}
    ref = {"$ref": "#/channels/greetings"}
    operations = {"say": {"action": "send", "channel": ref}, "hear": {"action": "receive", "channel": ref}}
    return {"asyncapi": "3.0.0", "servers": servers, "channels": channels, "operations": operations}


def version_2(host: str) -> dict[str, Any]:
    """A document whose channel shares what is said between those who listen, but not between those who speak."""
    both = {"publish": {}, "subscribe": {"bindings": {"nats": {"queue": "kit"}}}}
    return {"asyncapi": "2.6.0", "servers": {"one": {"url": host, "protocol": "nats"}}, "channels": {SUBJECT: both}}


def local(host: str) -> dict[str, str]:
    return {"host": host, "protocol": "nats"}


def begin(workflows: Workflows, outside: Outside, document: Any, arguments: str, given: Any = None) -> Run:
    """Start a workflow with one call."""
    outside.first(DOCUMENT, *[Answer(200, document)] * FETCHES_MAX)
    text = f"do: [{{c: {{call: asyncapi, with: {{document: {{endpoint: '{DOCUMENT}'}}, {arguments}}}}}}}]"
    workflows.register(HEAD + text)
    return workflows.start(definition(text)["document"], given)


async def end_of(run: Run) -> dict[str, Any]:
    return await asyncio.to_thread(run.ended)


async def told(broker: Client, run: Run, *messages: Any, **headers: str) -> dict[str, Any]:
    """Send messages, one after the other and again, until the run has ended: nobody knows when it listens."""
    end = asyncio.create_task(end_of(run))
    while not end.done():
        for message in messages:
            await broker.publish(SUBJECT, orjson.dumps(message), headers=headers or None)
        await asyncio.wait([end], timeout=0.1)
    return end.result()


SAY = "operation: say, message: {payload: {n: 1}, headers: {x-a: b}}"


class TestAServer:
    @pytest.mark.parametrize("named", [None, ["second", "first"]])
    async def test_is_by_default_the_first_that_fits(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str, named: list[str] | None
    ) -> None:
        first, second = (local(host), local(NOBODY)) if named is None else (local(NOBODY), local(host))
        heard = await broker.subscribe(SUBJECT)
        await broker.flush()
        found = await end_of(begin(workflows, outside, version_3({"first": first, "second": second}, named), SAY))
        assert (found["status"], found["error"]) == ("completed", None)
        assert orjson.loads((await heard.next_msg(timeout=5)).data) == {"n": 1}

    async def test_is_chosen_by_the_protocol(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        document = version_3({"kafka": KAFKA, "nats": local(host)})
        assert (await end_of(begin(workflows, outside, document, f"{SAY}, protocol: nats")))["status"] == "completed"

    async def test_that_is_named_is_taken_whatever_the_protocol(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        document = version_3({"first": local(NOBODY), "second": local(host)})
        run = begin(workflows, outside, document, f"{SAY}, protocol: kafka, server: {{name: second}}")
        assert (await end_of(run))["status"] == "completed"


class TestAChannelOfVersion2:
    async def test_is_published_to_with_a_message(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        heard = await broker.subscribe(SUBJECT)
        await broker.flush()
        arguments = f"channel: {SUBJECT}, message: {{payload: {{n: '${{ .n }}'}}, headers: {{x-a: '${{ .a }}'}}}}"
        await end_of(begin(workflows, outside, version_2(host), arguments, {"n": 2, "a": "b"}))
        message = await heard.next_msg(timeout=5)
        assert (orjson.loads(message.data), (message.headers or {})["x-a"]) == ({"n": 2}, "b")

    async def test_is_subscribed_to_with_a_subscription(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        arguments = f"channel: {SUBJECT}, subscription: {{consume: {{amount: 2}}}}"
        found = await told(broker, begin(workflows, outside, version_2(host), arguments), {"n": 1})
        assert [message["payload"] for message in found["output"]] == [{"n": 1}] * 2


class TestAMessage:
    async def test_has_its_headers_and_its_correlation_id(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        run = begin(
            workflows, outside, version_3({"a": local(host)}), "operation: hear, subscription: {consume: {amount: 1}}"
        )
        headers = {"x-a": "b", "correlationId": "7"}
        found = await told(broker, run, {"n": 1}, **headers)
        assert found["output"] == [{"payload": {"n": 1}, "headers": headers, "correlationId": "7"}]


class TestASubscription:
    async def test_ends_with_its_amount_of_messages_that_its_filter_lets_through(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        arguments = "operation: hear, subscription: {filter: '${ .payload.n > 1 }', consume: {amount: 3}}"
        run = begin(workflows, outside, version_3({"a": local(host)}), arguments)
        found = await told(broker, run, {"n": 1}, {"n": 2}, {"n": 3})
        assert len(found["output"]) == 3
        assert {message["payload"]["n"] for message in found["output"]} == {2, 3}

    @pytest.mark.parametrize("duration", ["PT1S", "{milliseconds: 1000}", "'${ .pause }'"])
    async def test_ends_with_its_time(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str, duration: str
    ) -> None:
        since = time.monotonic()
        arguments = f"operation: hear, subscription: {{consume: {{amount: 900, for: {duration}}}}}"
        run = begin(workflows, outside, version_3({"a": local(host)}), arguments, {"pause": "PT1S"})
        found = await told(broker, run, {"n": 1})
        assert found["status"] == "completed"
        assert 0 < len(found["output"]) < 900
        assert 1.0 <= time.monotonic() - since < 10

    async def test_does_what_it_does_with_a_message_before_it_looks_at_the_next_one(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        tell = "{emit: {event: {with: {type: %s, data: '${ [$message.payload.n, $place] }'}}}}"
        do = f"[{{saw: {tell % 'saw'}}}, {{rest: {{wait: PT0.3S}}}}, {{done: {tell % 'done'}}}]"
        foreach = f"{{item: message, at: place, do: {do}, output: {{as: '$message.payload.n'}}}}"
        filter_ = "'${ .payload.n > 1 }'"
        arguments = f"operation: hear, subscription: {{filter: {filter_}, consume: {{amount: 3}}, foreach: {foreach}}}"
        run = begin(workflows, outside, version_3({"a": local(host)}), arguments)
        found = await told(broker, run, *({"n": n} for n in range(5)))
        assert (found["status"], found["error"]) == ("completed", None)
        assert set(found["output"]) <= {2, 3, 4}
        emitted = [each["data"]["event"] for each in await asyncio.to_thread(run.events, "run.event_emitted")]
        assert [(each["type"], each["data"]) for each in emitted] == [
            (type_, [n, place]) for place, n in enumerate(found["output"]) for type_ in ("saw", "done")
        ]

    async def test_with_something_to_do_ends_with_its_time_and_what_it_has_taken(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str
    ) -> None:
        consume, foreach = (
            "{while: '${ true }', for: PT1S}",
            "{do: [{rest: {wait: PT0.1S}}], output: {as: $item.payload.n}}",
        )
        arguments = f"operation: hear, subscription: {{consume: {consume}, foreach: {foreach}}}"
        run = begin(workflows, outside, version_3({"a": local(host)}), arguments)
        await asyncio.to_thread(run.until_awaiting, "call")
        for n in range(5):
            await asyncio.sleep(0.1)
            await broker.publish(SUBJECT, orjson.dumps({"n": n}))
        found = await end_of(run)
        assert found["status"] == "completed"
        assert found["output"] == list(range(5))[-len(found["output"]) :]

    async def test_goes_on_after_the_process_that_subscribed_was_killed(
        self, workflows: Workflows, outside: Outside, broker: Client, host: str, system: Supervisor
    ) -> None:
        foreach = "{do: [{saw: {emit: {event: {with: {type: saw}}}}}], output: {as: $item.payload.n}}"
        arguments = f"operation: hear, subscription: {{consume: {{amount: 6}}, foreach: {foreach}}}"
        run = begin(workflows, outside, version_3({"a": local(host)}), arguments)
        while len(await asyncio.to_thread(run.events, "run.event_consumed")) < 2:
            await broker.publish(SUBJECT, orjson.dumps({"n": 1}))
            await asyncio.sleep(0.1)
        system.kill("sagas")
        found = await told(broker, run, {"n": 2})
        consumed = await asyncio.to_thread(run.events, "run.event_consumed")
        assert (found["status"], len(found["output"]), len(consumed)) == ("completed", 6, 6)
        assert found["output"] == sorted(found["output"])
