"""Agents do what is assigned to them, once, and say why when they cannot; a person approves what that person is asked."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest

from read_side.demo.client import CommandSender
from read_side.demo.desks import CannotBeDone, Desks
from read_side.demo.pace import SWIFT
from read_side.demo.people import approve_all
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import JsonObject

pytestmark = pytest.mark.waits

QUIET_S = 0.3


def book(asked: JsonObject) -> JsonObject:
    if asked["to"] == "Lisbon":
        raise CannotBeDone("no seat")
    return {"seat": 4}


def event(position: int, stream: str, event_type: str, data: JsonObject) -> JsonObject:
    return {"position": position, "subject": stream, "type": event_type, "streamversion": 1, "data": data}


def task(position: int, task_id: str, to: str, agent_id: str = "airline") -> list[JsonObject]:
    asked: JsonObject = {"title": "bookFlight", "input": {"to": to}}
    return [
        event(position, f"task-{task_id}", "task.requested", asked),
        event(position + 1, f"task-{task_id}", "task.assigned", {"agent_id": agent_id}),
    ]


class Apis:
    """Stands for both APIs with this log; the live stream gives all of it again, whatever was seen already."""

    def __init__(self, log: Sequence[JsonObject]) -> None:
        self.commands: list[JsonObject] = []
        self.queries = QueryClient("http://api", "default", httpx.MockTransport(self._tell))
        self.sender = CommandSender("http://api", "default", "mia", httpx.MockTransport(self._take))
        self._log = log
        self._streams = 0

    async def _tell(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/events/stream":
            self._streams += 1
            if self._streams > 2:
                await asyncio.sleep(60)
            found = [each for each in self._log if each["type"] == request.url.params["type"]]
            return httpx.Response(200, text="".join(f"data: {orjson.dumps(each).decode()}\n\n" for each in found))
        after, stream = int(request.url.params["after"]), request.url.params["stream"]
        page = [each for each in self._log if each["subject"] == stream and int(str(each["position"])) > after]
        return httpx.Response(200, json={"data": page})

    async def _take(self, request: httpx.Request) -> httpx.Response:
        given: list[JsonObject] = orjson.loads(request.content)
        self.commands.extend(given)
        return httpx.Response(200, json={"results": [{"status": 200}] * len(given)})

    async def while_at_work(self, work: Coroutine[Any, Any, None]) -> list[str]:
        """The command ids that came until it was quiet, in order."""
        async with self.sender:
            with suppress(TimeoutError):
                await asyncio.wait_for(work, QUIET_S)
        return [str(command["command_id"]) for command in self.commands]


async def answered(*log: JsonObject) -> tuple[list[str], list[JsonObject]]:
    apis = Apis(log)
    ids = await apis.while_at_work(Desks(apis.sender, apis.queries, {"airline": book}, SWIFT).work(0))
    return ids, apis.commands


class TestATaskForAnAgent:
    async def test_is_done_once_with_what_was_asked(self) -> None:
        ids, commands = await answered(*task(1, "r1.2", "Rome"))
        assert ids == ["r1.2-start", "r1.2-step", "r1.2-complete"]
        assert commands[1]["step"] == {
            "kind": "tool_call",
            "tool": "bookFlight",
            "arguments": {"to": "Rome"},
            "reply": '{"seat":4}',
        }
        assert commands[2]["result"] == {"seat": 4}

    async def test_fails_with_the_reason_when_it_cannot_be_done(self) -> None:
        ids, commands = await answered(*task(1, "r1.2", "Lisbon"))
        assert ids == ["r1.2-start", "r1.2-step", "r1.2-fail"]
        assert commands[2]["error"] == "no seat"

    async def test_of_another_agent_is_not_touched(self) -> None:
        ids, _ = await answered(*task(1, "r1.2", "Rome", "hotel"), *task(3, "r1.3", "Rome"))
        assert ids == ["r1.3-start", "r1.3-step", "r1.3-complete"]


class TestAPerson:
    async def test_approves_what_that_person_is_asked_and_nothing_else(self) -> None:
        asked: JsonObject = {"people": ["mia"]}
        of_noah: JsonObject = {"people": ["noah"]}
        apis = Apis(
            [
                event(1, "approval-r1.4", "approval.requested", of_noah),
                event(2, "approval-r2.4", "approval.requested", asked),
            ]
        )
        assert set(await apis.while_at_work(approve_all("mia", apis.sender, apis.queries, 0))) == {"r2.4-decide"}
        assert apis.commands[0]["decision"] == "approve"
