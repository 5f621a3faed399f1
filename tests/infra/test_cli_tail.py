"""Following the log over HTTP: each event once and in order, also when the query API goes away in between."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from infra import tail
from infra.tail import Tail

pytestmark = pytest.mark.outside

EVENTS_IN_THE_LOG = 1200


class StubQueryApi:
    """Speaks as much of the query API as a tail needs, and hangs up after `burst` live events."""

    def __init__(self, burst: int) -> None:
        self.burst = burst
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.asked.append(target.path)
        after = int(query.get("after", 0))
        if target.path == "/v1/events/stream":
            body = b": hello\n\n" + b"".join(self._live(after))
            kind = "text/event-stream"
        elif target.path == "/v1/projections":
            body, kind = (
                orjson.dumps({"data": [{"position": 5, "lag": 2}, {"position": 7, "lag": 0}]}),
                "application/json",
            )
        else:
            last = min(after + int(query["limit"]), EVENTS_IN_THE_LOG)
            body = orjson.dumps(
                {"data": [{"position": n, "type": query.get("type")} for n in range(after + 1, last + 1)]}
            )
            kind = "application/json"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    def _live(self, after: int) -> list[bytes]:
        numbers = range(after + 1, after + 1 + self.burst)
        return [f'id: {n}\nevent: x\ndata: {{"position":\ndata: {n}}}\n\n'.encode() for n in numbers]


@pytest.fixture
async def api() -> AsyncIterator[tuple[StubQueryApi, str]]:
    stub = StubQueryApi(burst=3)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    yield stub, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


class TestATail:
    async def test_begins_at_the_head_that_the_read_models_know(self, api: tuple[StubQueryApi, str]) -> None:
        assert await Tail(api[1], "default").head() == 7

    async def test_pages_through_what_is_there(self, api: tuple[StubQueryApi, str]) -> None:
        found = [event["position"] async for event in Tail(api[1], "default", "agent.started").past(10)]
        assert found == list(range(11, EVENTS_IN_THE_LOG + 1))

    async def test_goes_on_where_it_was_when_the_connection_ends(
        self, api: tuple[StubQueryApi, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        found = []
        async for event in Tail(api[1], "default").follow(4):
            found.append(event["position"])
            if len(found) == 8:
                break
        assert found == list(range(5, 13))
        assert api[0].asked == ["/v1/events/stream"] * 3

    async def test_gives_up_when_nobody_answers_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        monkeypatch.setattr(tail, "SILENCE_S_MAX", 0.05)
        with pytest.raises(httpx.ConnectError):
            await anext(Tail("http://127.0.0.1:1", "default").follow(0))
