"""Following the log over HTTP: each event once and in order, also when the query API goes away in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from infra import cli, tail
from infra.console import Output
from infra.refusal import Refused
from infra.tail import Tail

pytestmark = pytest.mark.outside

EVENTS_IN_THE_LOG = 1200
TEXT = "one\u2028event\u2029on one\x85line"


class StubQueryApi:
    """Speaks as much of the query API as a tail needs, and hangs up after `burst` live events.

    `page_max` is how many events it sends at most, however many are asked for. `silent`: it does not hang up and sends nothing more.
    `refusals` are statuses, with what they say, that come before it answers; 200 is none.
    `is_another`: it is not Foldwork.
    """

    def __init__(self, burst: int) -> None:
        self.burst = burst
        self.page_max = 1_000
        self.silent = False
        self.refusals: list[tuple[int, str]] = []
        self.is_another = False
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.asked.append(target.path)
        after = int(query.get("after", 0))
        if self.is_another:
            await self._write(writer, 200, "text/html", b"<p>Welcome")
            return
        status, detail = self.refusals.pop(0) if self.refusals else (200, "")
        if status != 200:
            body = orjson.dumps({"status": status, "detail": detail, "errors": [{"parameter": "type", "detail": "x"}]})
            await self._write(writer, status, "application/problem+json", body)
            return
        if target.path == "/v1/events/stream":
            body = b": hello\n\n" + b"".join(self._live(after))
            kind = "text/event-stream"
        elif target.path == "/v1/projections":
            body, kind = (
                orjson.dumps({"data": [{"position": 5, "lag": 2}, {"position": 7, "lag": 0}]}),
                "application/json",
            )
        else:
            last = min(after + min(int(query["limit"]), self.page_max), EVENTS_IN_THE_LOG)
            events = [{"position": n, "type": query.get("type")} for n in range(after + 1, last + 1)]
            body = orjson.dumps({"data": events, "next_cursor": None if last == EVENTS_IN_THE_LOG else str(last)})
            kind = "application/json"
        await self._write(writer, 200, kind, body)

    async def _write(self, writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        if not self.silent:
            writer.close()

    def _live(self, after: int) -> list[bytes]:
        numbers = range(after + 1, after + 1 + self.burst)
        return [f'id: {n}\nevent: x\ndata: {{"position":\ndata: {n}, "text": "{TEXT}"}}\n\n'.encode() for n in numbers]


@pytest.fixture
async def api() -> AsyncIterator[tuple[StubQueryApi, str]]:
    stub = StubQueryApi(burst=3)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    yield stub, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


class TestATail:
    async def test_begins_at_the_head_that_the_read_models_know(self, api: tuple[StubQueryApi, str]) -> None:
        assert await Tail(api[1], "default").head() == 7

    async def test_says_that_what_answers_is_not_foldwork(self, api: tuple[StubQueryApi, str]) -> None:
        api[0].is_another = True
        for asked in (Tail(api[1], "default").past(0), Tail(api[1], "default").follow(0)):
            with pytest.raises(Refused) as refused:
                await anext(asked)
            assert str(refused.value) == f"What answers at {api[1]} is not Foldwork (200 X); see FOLDWORK_QUERY_PORT."

    async def test_pages_through_what_is_there(self, api: tuple[StubQueryApi, str]) -> None:
        found = [event["position"] async for event in Tail(api[1], "default", "agent.started").past(10)]
        assert found == list(range(11, EVENTS_IN_THE_LOG + 1))

    async def test_goes_on_after_a_page_that_is_short_before_the_end(self, api: tuple[StubQueryApi, str]) -> None:
        api[0].page_max = 100
        found = [event["position"] async for event in Tail(api[1], "default").past(1_000)]
        assert found == list(range(1_001, EVENTS_IN_THE_LOG + 1))

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

    async def test_outlasts_trouble_that_is_short_each_time_however_quiet_the_log_is(
        self, api: tuple[StubQueryApi, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.1)
        monkeypatch.setattr(tail, "SILENCE_S_MAX", 0.15)
        stub, url = api
        stub.burst = 0
        stub.refusals = [(503, "Not now."), (200, ""), (503, "Not now."), (200, ""), (503, "Not now.")]
        following = asyncio.ensure_future(anext(Tail(url, "default").follow(4)))
        while len(stub.asked) < 6:
            await asyncio.sleep(0.01)
        stub.burst = 1
        assert (await asyncio.wait_for(following, 5))["position"] == 5

    async def test_connects_again_when_the_other_side_says_nothing_any_more(
        self, api: tuple[StubQueryApi, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        monkeypatch.setattr(tail, "KEPT_ALIVE_S_MAX", 0.1)
        stub, url = api
        stub.burst, stub.silent = 1, True
        following = Tail(url, "default").follow(4)
        async with asyncio.timeout(5):
            assert [(await anext(following))["position"] for _ in range(3)] == [5, 6, 7]

    async def test_gives_events_whole_whatever_their_text(self, api: tuple[StubQueryApi, str]) -> None:
        async with contextlib.aclosing(Tail(api[1], "default").follow(4)) as events:
            assert (await anext(events))["text"] == TEXT

    async def test_goes_on_when_a_server_was_away(
        self, api: tuple[StubQueryApi, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        api[0].refusals = [(503, "Not now."), (504, "Too late.")]
        assert (await anext(Tail(api[1], "default").follow(4)))["position"] == 5
        assert len(api[0].asked) == 3

    async def test_says_what_was_wrong_with_what_was_asked(self, api: tuple[StubQueryApi, str]) -> None:
        log = Tail(api[1], "default", "agent.nothing")
        for events in (log.past(0), log.follow(0)):
            api[0].refusals = [(422, "Some of it is wrong.")]
            with pytest.raises(Refused) as refused:
                await anext(events)
            assert str(refused.value) == "Some of it is wrong.\n  type: x"

    async def test_gives_up_when_nobody_answers_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        monkeypatch.setattr(tail, "SILENCE_S_MAX", 0.05)
        with pytest.raises(httpx.ConnectError):
            await anext(Tail("http://127.0.0.1:1", "default").follow(0))


class TestAPrintedEvent:
    def test_is_one_line_in_a_pipe_however_long_it_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        data = {f"field {number}": "some words and more of them" for number in range(20)}
        event = {"position": 1, "time": "2026-11-22T03:41:56.350733Z", "type": "a.b", "subject": "a-1", "data": data}
        cli._print_event(event, Output.table)
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith(orjson.dumps(data).decode())
