"""The examples that publish and take messages: AsyncAPI over NATS."""

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
from tests.kit.playing import begin
from tests.kit.routes import FAKE, asyncapi
from tests.kit.system import END_S_MAX, POLL_S, Run, Workflows

pytestmark = [pytest.mark.data, pytest.mark.servers]

DOCUMENT = f"{FAKE}/docs/asyncapi.json"
CONTACT = {"firstName": "Ann", "lastName": "Lee"}
MESSAGE = {"from": CONTACT, "text": "hello"}
OF_ANOTHER = {"from": {"firstName": "Bob", "lastName": "Lee"}, "text": "hello"}
# Neither example keeps what it has taken: that there are five is known from the beginning, or they would never end.
FIVE = {"contact": CONTACT, "consumedMessages": [1, 2, 3, 4, 5]}


@pytest.fixture
async def broker(system: Supervisor) -> AsyncIterator[Client]:
    assert system.settings.nats_url is not None
    client = await nats.connect(system.settings.nats_url)
    yield client
    await client.close()


def describe(outside: Outside, system: Supervisor, version: str) -> None:
    assert system.settings.nats_url is not None
    outside.first(DOCUMENT, *[Answer(200, asyncapi(version, system.settings.nats_url))] * 3)


async def keep_telling(broker: Client, subject: str, run: Run) -> dict[str, Any]:
    """Send messages until the run has ended: who comes too late to a subject has missed what was said there."""
    end = asyncio.create_task(asyncio.to_thread(run.ended))
    while not end.done():
        for message in (OF_ANOTHER, MESSAGE):
            await broker.publish(subject, orjson.dumps(message))
        await asyncio.wait([end], timeout=0.2)
    return end.result()


class TestCallAsyncapiPublishExample:
    async def test_publishes_the_pet(
        self, workflows: Workflows, outside: Outside, system: Supervisor, broker: Client
    ) -> None:
        describe(outside, system, "3.0.0")
        heard = await broker.subscribe("fake.pets")
        await broker.flush()
        run = begin(workflows, "call-asyncapi-publish", {"pet": {"id": 7}, "token": "t0"})
        found = await asyncio.to_thread(run.ended)
        assert (found["status"], found["error"]) == ("completed", None)
        assert orjson.loads((await heard.next_msg(timeout=5)).data) == {"petId": 7}


class TestCallAsyncapiSubscribeExamples:
    async def test_takes_messages_until_there_are_five(
        self, workflows: Workflows, outside: Outside, system: Supervisor, broker: Client
    ) -> None:
        describe(outside, system, "2.6.0")
        run = begin(workflows, "call-asyncapi-subscribe-consume-until", FIVE)
        found = await keep_telling(broker, "/notifications", run)
        assert found["error"] is None
        assert (found["status"], [message["payload"] for message in found["output"]]) == ("completed", [MESSAGE])

    async def test_takes_messages_while_there_are_less_than_five(
        self, workflows: Workflows, outside: Outside, system: Supervisor, broker: Client
    ) -> None:
        describe(outside, system, "3.0.0")
        run = begin(workflows, "call-asyncapi-subscribe-consume-while", FIVE)
        found = await keep_telling(broker, "fake.notifications", run)
        assert found["status"] == "completed"
        assert all(message["payload"] == MESSAGE for message in found["output"])

    async def test_passes_on_each_message_for_ever(
        self, workflows: Workflows, outside: Outside, system: Supervisor, broker: Client
    ) -> None:
        describe(outside, system, "3.0.0")
        given = {"userId": "u1", "contact": CONTACT}
        run = begin(workflows, "call-asyncapi-subscribe-consume-forever-foreach", given)
        until = time.monotonic() + END_S_MAX
        while len(passed_on := run.events("run.event_emitted")) < 3:
            assert time.monotonic() < until, f"{len(passed_on)} messages were passed on, not 3"
            for message in (OF_ANOTHER, MESSAGE):
                await broker.publish("fake.notifications", orjson.dumps(message), headers={"correlationId": "u1"})
            await asyncio.sleep(POLL_S)
        await asyncio.to_thread(run.cancel)
        assert (await asyncio.to_thread(run.ended))["status"] == "cancelled"
        assert all(each["data"]["event"]["data"]["message"]["payload"] == MESSAGE for each in passed_on)
