"""The log over HTTP: pages, server-sent events and WebSockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
import websockets
from websockets.exceptions import InvalidStatus

from infra.adapters.read_store import ReadStore
from infra.adapters.web import Application
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_request import Receive, Scope, Send
from infra.adapters.web_server import serve
from infra.cancellation import end
from infra.embedded.ports import free_port, is_free
from infra.settings import Settings
from infra.telemetry import new_registry
from read_side import events
from read_side import live as feed
from read_side.api import create_application
from read_side.live import Live
from read_side.queries import Queries
from tests.read_side.event_log import Log

HOST = "127.0.0.1"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class World:
    """The query API over a log in memory."""

    log: Log
    live: Live
    application: Application
    http: httpx.AsyncClient

    async def page(self, query: str = "", **headers: str) -> dict[str, Any]:
        answer = await self.http.get(f"/v1/events{query}", headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest_asyncio.fixture(loop_scope="module")
async def world(settings: Settings) -> AsyncIterator[World]:
    log = Log()
    settings = settings.model_copy(update={"live_buffer_events_max": 10, "live_clients_max": 2})
    live = Live(log, log.woken, settings)
    task = asyncio.create_task(live.run())
    application = create_application(Queries(ReadStore("", settings), log, settings), live, log.head, new_registry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        yield World(log, live, application, http)
    await end(task)


def positions(documents: list[dict[str, Any]]) -> list[int]:
    return [document["position"] for document in documents]


class TestAPageOfEvents:
    async def test_holds_cloud_events(self, world: World) -> None:
        await world.log.write("agent.created", data=b'{"name":"Ada"}')
        event = (await world.page())["data"][0]
        assert event["specversion"] == "1.0"
        assert (event["type"], event["subject"], event["position"]) == ("agent.created", "agent-a", 1)
        assert (event["tenantid"], event["actor"], event["data"]) == ("default", "ada", {"name": "Ada"})

    async def test_leads_to_the_next(self, world: World) -> None:
        await world.log.write(*["agent.started"] * 5)
        page = await world.page("?limit=3")
        assert (positions(page["data"]), page["next_cursor"]) == ([1, 2, 3], "3")
        page = await world.page("?limit=3&after=3")
        assert (positions(page["data"]), page["next_cursor"]) == ([4, 5], None)

    async def test_says_how_far_it_goes(self, world: World) -> None:
        await world.log.write("agent.created", "agent.started", "agent.stopped")
        answer = await world.http.get("/v1/events?limit=2")
        assert answer.headers["foldwork-position"] == "2"
        answer = await world.http.get("/v1/events?type=agent.deleted")
        assert (answer.json()["data"], answer.headers["foldwork-position"]) == ([], "3")

    async def test_can_be_narrowed_by_types_and_stream(self, world: World) -> None:
        await world.log.write("agent.created", "agent.started", "agent.stopped")
        await world.log.write("agent.created", "agent.started", stream="agent-b")
        page = await world.page("?type=agent.started&type=agent.stopped")
        assert positions(page["data"]) == [2, 3, 5]
        page = await world.page("?type=agent.started&stream=agent-b")
        assert positions(page["data"]) == [5]

    async def test_never_holds_events_of_another_tenant(self, world: World) -> None:
        await world.log.write("agent.created")
        await world.log.write("agent.created", tenant="other")
        assert positions((await world.page())["data"]) == [1]
        assert positions((await world.page(foldwork_tenant="other"))["data"]) == [2]
        assert (await world.page("?stream=agent-a", foldwork_tenant="third"))["data"] == []

    async def test_ends_early_rather_than_become_too_large(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(events, "PAGE_BYTES_MAX", 5_000)
        monkeypatch.setattr(events, "READ_EVENTS_MIN", 2)
        await world.log.write(*["agent.started"] * 20, data=b'{"x":"%b"}' % (b"y" * 2_000))
        page = await world.page("?limit=20")
        assert (len(page["data"]), page["next_cursor"]) == (6, "6")

    async def test_ends_early_rather_than_search_the_whole_log(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "SCAN_POSITIONS_MAX", 10)
        await world.log.write(*["agent.started"] * 25)
        page = await world.page("?type=agent.deleted")
        assert (page["data"], page["next_cursor"]) == ([], "10")

    async def test_after_the_end_is_empty(self, world: World) -> None:
        assert await world.page("?after=9007199254740991") == {"data": [], "next_cursor": None}

    @pytest.mark.parametrize(
        "query",
        [
            "?type=agent.flew",
            "?stream=x",
            "?stream=agent-",
            "?after=-1",
            "?limit=0",
            "?limit=1001",
            "?cursor=x",
            "?stream=agent-%00",
        ],
    )
    async def test_is_refused_for_a_query_that_is_not_as_documented(self, world: World, query: str) -> None:
        assert (await world.http.get(f"/v1/events{query}")).status_code == 422

    async def test_of_a_position_that_the_log_has_not_come_to_is_refused(self, world: World) -> None:
        answer = await world.http.get("/v1/events", headers={"foldwork-min-position": "1"})
        assert (answer.status_code, answer.json()["position"]) == (409, 0)


@contextlib.asynccontextmanager
async def serving(application: Application) -> AsyncIterator[str]:
    """An application on a real socket, since a live answer has no end; gives host and port."""
    port = free_port(HOST)
    task = asyncio.create_task(serve(application, HOST, port))
    async with asyncio.timeout(5):
        while is_free(HOST, port):
            await asyncio.sleep(0.02)
    try:
        yield f"{HOST}:{port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Front(Application):
    """Hands whatever comes to the application of the test that runs, so that all tests share one server."""

    behind: Application

    def __init__(self) -> None:
        super().__init__([], WebMetrics(new_registry()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.behind(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[tuple[Front, str]]:
    application = Front()
    async with serving(application) as address:
        yield application, address


@pytest.fixture
def address(front: tuple[Front, str], world: World) -> str:
    """Host and port where the test's world is served."""
    front[0].behind = world.application
    return front[1]


@contextlib.asynccontextmanager
async def following(address: str, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[list[str]]]:
    """A client of the live stream that gets one record of lines after another."""

    async def records(answer: httpx.Response) -> AsyncIterator[list[str]]:
        lines: list[str] = []
        async for line in answer.aiter_lines():
            if line:
                lines.append(line)
            else:
                yield lines
                lines = []

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://{address}/v1/events/stream{query}"
    async with httpx.AsyncClient(timeout=5, verify=False) as http, http.stream("GET", url, headers=named) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        yield records(answer)


@pytest.mark.outside
class TestTheLiveStream:
    async def test_tells_where_it_begins_and_then_each_event(self, world: World, address: str) -> None:
        await world.log.write("agent.created")
        async with following(address) as records:
            assert await anext(records) == ["retry: 1000", ": at 1", "id: 1"]
            await world.log.write("agent.started")
            number, kind, data = await anext(records)
            assert (number, kind) == ("id: 2", "event: agent.started")
            assert orjson.loads(data.removeprefix("data: "))["position"] == 2

    async def test_goes_on_after_the_last_event_that_a_client_had(self, world: World, address: str) -> None:
        await world.log.write(*["agent.started"] * 3)
        async with following(address, "?after=2") as records:
            await anext(records)
            assert (await anext(records))[0] == "id: 3"
        async with following(address, "?after=0", last_event_id="2") as records:
            await anext(records)
            assert (await anext(records))[0] == "id: 3"

    async def test_is_a_tenants_own(self, world: World, address: str) -> None:
        async with following(address, "?after=0", foldwork_tenant="other") as records:
            await anext(records)
            await world.log.write("agent.created")
            await world.log.write("agent.created", tenant="other")
            assert (await anext(records))[0] == "id: 2"

    async def test_shows_that_it_is_alive(self, world: World, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed, "KEEP_ALIVE_S", 0.05)
        async with following(address) as records:
            await anext(records)
            assert await anext(records) == [": at 0", "id: 0"]

    async def test_is_refused_to_too_many(self, world: World, address: str) -> None:
        async with following(address), following(address), httpx.AsyncClient(verify=False) as http:
            answer = await http.get(f"http://{address}/v1/events/stream")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    async def test_ends_when_the_process_stops(self, world: World) -> None:
        async with serving(world.application) as address, following(address) as records:
            await anext(records)
            world.application.stopping.set()
            assert [record async for record in records] == []
        assert world.live.listeners == 0

    @pytest.mark.parametrize("last", ["x", "-1", "1.5"])
    async def test_is_refused_for_an_id_that_is_no_position(self, world: World, last: str) -> None:
        assert (await world.http.get("/v1/events/stream", headers={"last-event-id": last})).status_code == 422

    @pytest.mark.parametrize("after", ["1", "9007199254740991"])
    async def test_is_refused_after_a_position_that_the_log_has_not_come_to(self, world: World, after: str) -> None:
        answer = await world.http.get(f"/v1/events/stream?after={after}")
        assert (answer.status_code, answer.json()["position"]) == (409, 0)

    async def test_answers_head_without_listening(self, world: World) -> None:
        assert (await world.http.head("/v1/events/stream")).status_code == 200
        assert world.live.listeners == 0


@pytest.mark.outside
class TestTheWebSocket:
    async def test_gets_one_event_per_message(self, world: World, address: str) -> None:
        await world.log.write("agent.created")
        async with websockets.connect(f"ws://{address}/v1/events/ws?after=0") as socket:
            assert orjson.loads(await socket.recv())["position"] == 1
            await world.log.write("agent.started", "agent.stopped")
            assert [orjson.loads(await socket.recv())["position"] for _ in range(2)] == [2, 3]

    async def test_can_be_narrowed(self, world: World, address: str) -> None:
        url = "/v1/events/ws?type=agent.stopped&after=0"
        async with websockets.connect(f"ws://{address}{url}") as socket:
            await world.log.write("agent.started", "agent.stopped")
            assert orjson.loads(await socket.recv())["position"] == 2

    async def test_is_refused_like_any_query(self, world: World, address: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(f"ws://{address}/v1/events/ws?type=agent.flew")
        assert refused.value.response.status_code == 422

    async def test_is_refused_after_a_position_that_the_log_has_not_come_to(self, world: World, address: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(f"ws://{address}/v1/events/ws?after=1")
        assert refused.value.response.status_code == 409

    async def test_is_asked_for_by_an_upgrade(self, world: World) -> None:
        assert (await world.http.get("/v1/events/ws")).status_code == 426
