"""Commands are sent until they are answered, under the same id and in their order."""

import asyncio
from collections.abc import Callable

import httpx
import orjson
import pytest
from pydantic import JsonValue

from read_side.demo import client
from read_side.demo.client import CommandSender, UnexpectedAnswer, command
from read_side.demo.scenario import JsonObject

Handler = Callable[[list[JsonObject]], httpx.Response]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY_S_MIN", 0.005)


class Api:
    """Stands for the command API: answers each request with what `reply` makes of its commands."""

    def __init__(self, *replies: Handler) -> None:
        self.requests: list[list[JsonObject]] = []
        self._replies = list(replies)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        commands: list[JsonObject] = orjson.loads(request.content)
        self.requests.append(commands)
        return (self._replies.pop(0) if self._replies else accept)(commands)

    def sender(self) -> CommandSender:
        return CommandSender("http://api", "default", "tester", httpx.MockTransport(self.handle))


def accept(commands: list[JsonObject]) -> httpx.Response:
    return answers(*(200 for _ in commands))


def answers(*statuses: int) -> httpx.Response:
    results: list[JsonValue] = [{"status": status, "position": 7, "type": "x/stale-attempt"} for status in statuses]
    return httpx.Response(200, json={"results": results})


def lost(_commands: list[JsonObject]) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def start(number: int) -> JsonObject:
    return command("StartJob", f"start-{number}", job_id=f"job-{number}", attempt=1)


class TestACommand:
    async def test_is_repeated_under_the_same_id_when_the_connection_is_lost(self) -> None:
        api = Api(lost, lost)
        async with api.sender() as sender:
            found = await sender.send(start(1))
        assert [answer.status for answer in found] == [200]
        assert [request[0]["command_id"] for request in api.requests] == ["start-1"] * 3

    @pytest.mark.parametrize("status", [429, 503, 504])
    async def test_is_repeated_when_the_api_cannot_answer(self, status: int) -> None:
        api = Api(lambda _: httpx.Response(status), lambda _: answers(status))
        async with api.sender() as sender:
            assert (await sender.send(start(1)))[0].ok
        assert len(api.requests) == 3

    async def test_is_not_repeated_when_it_is_refused(self) -> None:
        api = Api(lambda _: answers(409))
        async with api.sender() as sender:
            found = await sender.send(start(1))
        assert (found[0].status, found[0].problem) == (409, "stale-attempt")
        assert len(api.requests) == 1

    async def test_leaves_out_what_is_none(self) -> None:
        assert "capability" not in command("RequestTask", "c1", capability=None)


class TestCommandsOfOneSend:
    async def test_are_repeated_from_the_first_that_was_not_answered(self) -> None:
        api = Api(lambda _: answers(200, 503, 404))
        async with api.sender() as sender:
            found = await sender.send(start(1), start(2), start(3))
        assert [answer.status for answer in found] == [200, 200, 200]
        assert [given["command_id"] for given in api.requests[1]] == ["start-2", "start-3"]

    async def test_may_be_none_at_all_even_if_nobody_answers(self) -> None:
        api = Api(lost)
        async with api.sender() as sender, asyncio.timeout(1):
            assert await asyncio.gather(sender.send(), sender.send(start(1)), sender.send_accepted())
        assert [len(request) for request in api.requests] == [1, 1]

    async def test_must_all_be_accepted_where_that_is_asked(self) -> None:
        api = Api(lambda _: answers(200, 409))
        async with api.sender() as sender:
            with pytest.raises(UnexpectedAnswer, match="start-2"):
                await sender.send_accepted(start(1), start(2))


class TestCommandsThatComeWhileARequestIsUnderWay:
    async def test_go_together_in_the_next_one(self) -> None:
        api = Api()
        async with api.sender() as sender:
            await asyncio.gather(*(sender.send(start(number)) for number in range(100)))
        assert sum(len(request) for request in api.requests) == 100
        assert len(api.requests) < 10


class TestABreakdown:
    async def test_is_raised_by_the_send_that_waits_for_it(self) -> None:
        api = Api(lambda _: httpx.Response(500, text="broken"))
        async with api.sender() as sender:
            with pytest.raises(UnexpectedAnswer, match="500 broken"):
                await sender.send(start(1))
            assert (await sender.send(start(2)))[0].ok
