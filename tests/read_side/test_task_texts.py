"""The text of a task as it is written: shown to those who listen, until the task ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.read_store import ReadStore
from infra.adapters.web import Application
from infra.adapters.web_metrics import WebMetrics
from infra.cancellation import end
from infra.embedded.nats import EmbeddedNats
from infra.settings import Settings
from infra.telemetry import new_registry
from projections.task_board import TASK_BOARD
from read_side import task_texts
from read_side.queries import Queries
from read_side.task_texts import TaskTexts

WAIT_S_MAX = 10.0


class Board(ReadStore):
    """A task board in memory with one task of one tenant."""

    status = "running"

    async def get(self, projection: Any, key: Any) -> Any:
        if key != ("acme", "t.1"):
            return None
        return TASK_BOARD.row.model_construct(tenant_id="acme", task_id="t.1", status=self.status)

    async def position(self, projection: str) -> int:
        return 0


class World:
    """The route on a server of its own, and the connection that text comes on."""

    def __init__(self, url: str, board: Board, stream: NatsEventStream, texts: TaskTexts) -> None:
        self.url, self.board, self.stream, self.texts = url, board, stream, texts
        self.http = httpx.AsyncClient(base_url=url, headers={"Foldwork-Tenant": "acme"}, timeout=WAIT_S_MAX)

    async def write(self, piece: Any, subject: str = "live.acme.task.t=2E1") -> None:
        await self.stream.client()
        self.stream.tell(subject, piece if isinstance(piece, bytes) else orjson.dumps(piece))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[str]]:
        """The records as they come, once it listens."""
        async with self.http.stream("GET", "/v1/tasks/t.1/live") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.aiter_lines()
            async for line in lines:
                if line == ": listening":
                    break
            yield (line async for line in lines if line and not line.startswith(":"))


@pytest.fixture
async def world(
    embedded_nats: EmbeddedNats, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(task_texts, "LOOK_S", 0.05)
    settings = settings.model_copy(update={"live_clients_max": 2})
    stream = await NatsEventStream.connect(embedded_nats.url, settings)
    board = Board("", settings)
    texts = TaskTexts(Queries(board, MemoryEventStore(), settings), stream)
    application = Application(texts.routes(), WebMetrics(new_registry()))
    server = uvicorn.Server(uvicorn.Config(application, port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    running = World(f"http://127.0.0.1:{port}", board, stream, texts)
    yield running
    await running.http.aclose()
    application.stopping.set()
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await serving
    await end(serving)
    await stream.close()


class TestTheTextOfATask:
    async def test_is_shown_as_it_comes_until_the_task_ends(self, world: World) -> None:
        async with world.listening() as lines:
            await world.write({"number": 1, "text": "one\n"})
            await world.write({"number": 9}, "live.other.task.t=2E1")
            await world.write(b'{"number": 2,\n "text": "two"}')
            found = [await anext(lines) for _ in range(4)]
            assert found == [
                *("event: text", 'data: {"number":1,"text":"one\\n"}'),
                *("event: text", 'data: {"number": 2,  "text": "two"}'),
            ]
            world.board.status = "completed"
            assert [line async for line in lines] == ["event: ended", 'data: {"status":"completed"}']
        assert world.texts.listeners == 0

    async def test_ends_with_the_task_though_its_worker_writes_on(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_texts, "LOOK_S", 0.5)

        async def write_on() -> None:
            while True:
                await world.write({"number": 1})
                await asyncio.sleep(0.001)

        async with world.listening() as lines, asyncio.timeout(WAIT_S_MAX):
            writing = asyncio.create_task(write_on())
            await anext(lines)
            world.board.status = "cancelled"
            found = [line async for line in lines]
            await end(writing)
        assert found[-2:] == ["event: ended", 'data: {"status":"cancelled"}']

    async def test_is_shown_to_no_more_than_there_is_room_for_while_nats_is_slow(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, may_go = world.stream.client, asyncio.Event()

        async def slow_client() -> Any:
            await may_go.wait()
            return await client()

        monkeypatch.setattr(world.stream, "client", slow_client)
        asked = [
            asyncio.create_task(world.http.send(world.http.build_request("GET", "/v1/tasks/t.1/live"), stream=True))
            for _ in range(5)
        ]
        done, _ = await asyncio.wait(asked, timeout=1)
        may_go.set()
        answers = await asyncio.gather(*asked)
        assert [each.result().status_code for each in done] == [503] * 3
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
        for answer in answers:
            await answer.aclose()

    async def test_is_shown_to_all_who_listen_and_then_to_no_more(self, world: World) -> None:
        async with world.listening() as first, world.listening() as second:
            assert (await world.http.get("/v1/tasks/t.1/live")).status_code == 503
            await world.write({"number": 1})
            for lines in (first, second):
                assert [await anext(lines), await anext(lines)] == ["event: text", 'data: {"number":1}']

    async def test_of_an_unknown_task_is_not_there(self, world: World) -> None:
        assert (await world.http.get("/v1/tasks/t2/live")).status_code == 404
        other = {"Foldwork-Tenant": "other"}
        assert (await world.http.get("/v1/tasks/t.1/live", headers=other)).status_code == 404
        assert (await world.http.get("/v1/tasks/t.1/live?x=1")).status_code == 422
