"""The lifecycle events of runs over HTTP, page by page, as they follow from a log in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from events.catalog import CATALOG
from events.event import Event
from events.run import (
    RunCompleted,
    RunInputFormed,
    RunStarted,
    RunSuspended,
    RunTaskCompleted,
    RunTaskStarted,
)
from infra.adapters.event_store import Append, NewEvent, Write
from infra.adapters.read_store import ReadStore
from infra.ids import new_uuid7
from infra.settings import Settings
from infra.telemetry import new_registry
from read_side import run_lifecycle
from read_side.api import create_application
from read_side.live import Live
from read_side.queries import Queries
from tests.read_side.event_log import Log

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = RunStarted(
    workflow_id="travel.book", workflow_version="1.0.0", digest="sha256:" + "0" * 64, started_at=NOON, input={"n": 1}
)
CALL = {"parent": 0, "kind": "call", "started_at": NOON}


def step(number: int) -> RunTaskStarted:
    return RunTaskStarted(task=number, reference=f"/do/{number}/step", name="step", **CALL)


@dataclass
class World:
    """The query API over a log in memory."""

    log: Log
    http: httpx.AsyncClient

    async def happen(self, run_id: str, *events: Event, tenant: str = "acme") -> int:
        new = [NewEvent(event.type, event.version, CATALOG.encode(event), new_uuid7()) for event in events]
        expected = len(await self.log.load(tenant, f"run-{run_id}"))
        write = Write(f"run-{run_id}", expected, new)
        metadata = b'{"actor":"ada","correlation_id":"c1"}'
        return (await self.log.append(Append(tenant, (write,), NOON, metadata))).position

    async def ask(self, path: str, status: int = 200, tenant: str = "acme", **headers: str) -> Any:
        answer = await self.http.get(path, headers={"foldwork-tenant": tenant, **headers})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def pages(self, path: str) -> list[list[dict[str, Any]]]:
        """All pages of a list."""
        found, cursor = [], ""
        while cursor is not None:
            page = await self.ask(f"{path}{cursor and f'&cursor={cursor}'}")
            found.append(page["data"])
            cursor = page["next_cursor"]
        return found


@pytest_asyncio.fixture(loop_scope="module")
async def world(settings: Settings) -> AsyncIterator[World]:
    log = Log()
    queries = Queries(ReadStore("", settings), log, settings)
    application = create_application(queries, Live(log, log.woken, settings), log.head, new_registry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        yield World(log, http)


class TestTheLifecycleOfARun:
    async def test_is_cloud_events_in_the_words_of_the_specification(self, world: World) -> None:
        await world.happen("r1", STARTED, RunInputFormed(), step(1), RunTaskCompleted(task=1), RunCompleted())
        found = await world.ask("/v1/runs/r1/lifecycle")
        first, *_, last, _ = found["data"]
        [record] = await world.log.read(0, 1)
        assert first == {
            "specversion": "1.0",
            "id": f"{record.id}/1",
            "source": "/foldwork/0",
            "type": "io.serverlessworkflow.workflow.started.v1",
            "time": "2026-01-01T12:00:00Z",
            "subject": "run-r1",
            "datacontenttype": "application/json",
            "position": 1,
            "tenantid": "acme",
            "streamversion": 1,
            "causationid": record.id,
            "correlationid": "c1",
            "data": {
                "name": "book-r1.travel",
                "definition": {"name": "book", "namespace": "travel", "version": "1.0.0"},
                "startedAt": "2026-01-01T12:00:00Z",
            },
        }
        assert last["data"] == {"name": "book-r1.travel", "completedAt": "2026-01-01T12:00:00Z"}
        assert found["next_cursor"] is None

    async def test_can_be_read_page_by_page_of_any_size(self, world: World) -> None:
        tasks = [event for at in range(1, 8) for event in (step(at), RunTaskCompleted(task=at))]
        await world.happen("r1", STARTED, RunInputFormed(), step(90), step(91), RunSuspended(), *tasks)
        whole = (await world.ask("/v1/runs/r1/lifecycle?limit=1000"))["data"]
        for limit in (1, 2, 3, 7):
            pages = await world.pages(f"/v1/runs/r1/lifecycle?limit={limit}")
            assert [event for page in pages for event in page] == whole
            assert {len(page) for page in pages[:-1]} == {limit}

    @pytest.mark.parametrize("limit", [1, 2, 3])
    async def test_is_the_same_where_a_page_was_forgotten(
        self, world: World, monkeypatch: pytest.MonkeyPatch, limit: int
    ) -> None:
        monkeypatch.setattr(run_lifecycle, "PLACES_MAX", 0)
        monkeypatch.setattr(run_lifecycle, "READ_EVENTS_MIN", 2)
        await world.happen("r1", STARTED, RunInputFormed(), *map(step, range(1, 9)), RunSuspended())
        whole = (await world.ask("/v1/runs/r1/lifecycle?limit=1000"))["data"]
        pages = await world.pages(f"/v1/runs/r1/lifecycle?limit={limit}")
        assert [event for page in pages for event in page] == whole

    async def test_says_the_same_after_a_position_whatever_page_ended_there(self, world: World) -> None:
        position = await world.happen("r1", STARTED, RunInputFormed(), step(1), step(2))
        paths = [f"/v1/runs/r1/lifecycle?after={place}&limit=1000" for place in range(1, position + 1)]
        before = [(await world.ask(path))["data"] for path in paths]
        await world.pages("/v1/runs/r1/lifecycle?limit=1")
        assert [(await world.ask(path))["data"] for path in paths] == before

    async def test_goes_on_after_a_position_with_what_came_since(self, world: World) -> None:
        position = await world.happen("r1", STARTED, RunInputFormed(), step(1))
        before = (await world.ask("/v1/runs/r1/lifecycle"))["data"]
        assert (await world.ask(f"/v1/runs/r1/lifecycle?after={position}"))["data"] == []
        await world.happen("r2", STARTED)
        await world.happen("r1", RunTaskCompleted(task=1), RunCompleted())
        after = (await world.ask(f"/v1/runs/r1/lifecycle?after={position}"))["data"]
        assert after[0]["data"]["task"] == "/do/1/step"
        assert before + after == (await world.ask("/v1/runs/r1/lifecycle"))["data"]

    async def test_after_a_position_still_to_come_is_whole_once_it_has_come(self, world: World) -> None:
        head = await world.happen("r1", STARTED, RunInputFormed(), step(1))
        assert (await world.ask(f"/v1/runs/r1/lifecycle?after={head + 2}"))["data"] == []
        await world.happen("r1", RunTaskCompleted(task=1), step(2), RunTaskCompleted(task=2))
        behind = (await world.ask(f"/v1/runs/r1/lifecycle?after={head + 2}"))["data"]
        assert {event["data"]["task"] for event in behind} == {"/do/2/step"}

    async def test_reads_a_bounded_number_of_events_for_a_page(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_lifecycle, "SCAN_EVENTS_MAX", 2)
        await world.happen("r1", STARTED, RunInputFormed(), step(1), RunTaskCompleted(task=1), RunCompleted())
        pages = await world.pages("/v1/runs/r1/lifecycle?limit=100")
        assert len(pages) == 3
        monkeypatch.undo()
        assert [event for page in pages for event in page] == (await world.ask("/v1/runs/r1/lifecycle"))["data"]

    async def test_of_another_tenant_is_not_found(self, world: World) -> None:
        await world.happen("r1", STARTED)
        await world.happen("r1", STARTED, RunInputFormed(), tenant="other")
        assert {event["tenantid"] for event in (await world.ask("/v1/runs/r1/lifecycle"))["data"]} == {"acme"}
        found = await world.ask("/v1/runs/r1/lifecycle", 404, tenant="third")
        assert found["type"].endswith("/run-unknown")
        await world.ask("/v1/runs/r9/lifecycle", 404)

    async def test_refuses_a_cursor_of_another_run_or_place(self, world: World) -> None:
        for run_id in ("r1", "r2"):
            await world.happen(run_id, STARTED, RunInputFormed())
        cursor = (await world.ask("/v1/runs/r1/lifecycle?limit=1"))["next_cursor"]
        await world.ask(f"/v1/runs/r2/lifecycle?limit=1&cursor={cursor}", 404)
        await world.ask(f"/v1/runs/r1/lifecycle?after=1&cursor={cursor}", 404)
        await world.ask(f"/v1/runs/r1/lifecycle?cursor={cursor}")
        await world.ask("/v1/runs/r1/lifecycle?cursor=x", 400)
        await world.ask("/v1/runs/r1/lifecycle?limit=0", 422)

    async def test_is_not_ahead_of_the_log(self, world: World) -> None:
        position = await world.happen("r1", STARTED)
        await world.ask("/v1/runs/r1/lifecycle", 409, **{"foldwork-min-position": str(position + 1)})
        await world.ask("/v1/runs/r1/lifecycle", **{"foldwork-min-position": str(position)})

    async def test_is_in_the_document(self, world: World) -> None:
        document = await world.ask("/openapi.json")
        assert "/v1/runs/{run_id}/lifecycle" in document["paths"]
        schemas = document["components"]["schemas"]
        assert set(schemas["WorkflowStartedEvent"]["required"]) == {"name", "definition", "startedAt"}
        assert len(schemas["LifecycleEvent"]["properties"]["type"]["enum"]) == 18
