"""The live stream goes on where it broke off; lists are read to their end."""

import httpx
import orjson
import pytest
from pydantic import BaseModel

from read_side.demo.client import UnexpectedAnswer
from read_side.demo.queries import QueryClient, WireEvent


def record(position: int) -> str:
    event = {"position": position, "type": "job.assigned", "subject": f"job-{position}", "streamversion": 1, "data": {}}
    return f"id: {position}\nevent: job.assigned\ndata: {orjson.dumps(event).decode()}\n\n"


def client(*replies: httpx.Response) -> tuple[QueryClient, list[httpx.Request]]:
    requests: list[httpx.Request] = []
    left = list(replies)

    async def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return left.pop(0)

    return QueryClient("http://api", "default", httpx.MockTransport(handle)), requests


async def take(queries: QueryClient, count: int) -> list[WireEvent]:
    found: list[WireEvent] = []
    async for event in queries.live("job.assigned", 4):
        found.append(event)
        if len(found) == count:
            break
    return found


class TestTheLiveStream:
    async def test_begins_after_the_position(self) -> None:
        queries, requests = client(httpx.Response(200, text=": hello\n\n" + record(5)))
        assert [event.position for event in await take(queries, 1)] == [5]
        assert requests[0].headers["Last-Event-ID"] == "4"

    async def test_goes_on_after_the_last_event_when_it_breaks(self) -> None:
        first, second = httpx.Response(200, text=record(5) + record(9)), httpx.Response(200, text=record(12))
        queries, requests = client(first, second)
        assert [event.position for event in await take(queries, 3)] == [5, 9, 12]
        assert requests[1].headers["Last-Event-ID"] == "9"

    async def test_leaves_out_what_it_had_already(self) -> None:
        queries, _ = client(httpx.Response(200, text=record(5) + record(5) + record(6)))
        assert [event.position for event in await take(queries, 2)] == [5, 6]

    async def test_outlives_a_server_that_is_not_ready(self) -> None:
        queries, _ = client(httpx.Response(503), httpx.Response(200, text=record(5)))
        assert [event.position for event in await take(queries, 1)] == [5]

    async def test_is_an_error_when_the_api_refuses_it(self) -> None:
        queries, _ = client(httpx.Response(422))
        with pytest.raises(UnexpectedAnswer, match="422"):
            await take(queries, 1)


class Row(BaseModel):
    number: int


class TestAList:
    async def test_is_read_to_its_end(self) -> None:
        first = httpx.Response(200, json={"data": [{"number": 1}], "next_cursor": "more"})
        last = httpx.Response(200, json={"data": [{"number": 2}], "next_cursor": None})
        queries, requests = client(first, last)
        assert await queries.rows("/v1/things", Row, min_position=8) == [Row(number=1), Row(number=2)]
        assert requests[1].url.params["cursor"] == "more"
        assert [request.headers["Foldwork-Min-Position"] for request in requests] == ["8", "8"]

    async def test_is_asked_for_again_while_the_model_is_behind(self) -> None:
        queries, requests = client(httpx.Response(504), httpx.Response(200, json={"data": [], "next_cursor": None}))
        assert await queries.rows("/v1/things", Row, min_position=8) == []
        assert len(requests) == 2

    async def test_is_an_error_when_the_api_refuses_it(self) -> None:
        queries, _ = client(httpx.Response(422, text="no such filter"))
        with pytest.raises(UnexpectedAnswer, match="no such filter"):
            await queries.rows("/v1/things", Row)
