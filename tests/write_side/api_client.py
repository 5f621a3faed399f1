"""The command API in the test's own process, on the event store in memory."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from events.catalog import CATALOG as EVENTS
from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.web import Application, Route
from infra.adapters.web_metrics import WebMetrics
from infra.engines.command_bus import CommandBus
from infra.settings import Settings
from infra.telemetry import new_registry
from write_side.api import CommandEdge, create_application
from write_side.catalog import CATALOG


class Heard:
    """Remembers who sent signs of life."""

    def __init__(self) -> None:
        self.streams: list[tuple[str, str]] = []

    def seen(self, tenant_id: str, stream_id: str) -> None:
        self.streams.append((tenant_id, stream_id))


class CommandApi:
    """A client of the API, and what is behind it."""

    def __init__(self, http: httpx.AsyncClient, log: MemoryEventStore, heard: Heard, edge: CommandEdge) -> None:
        self.http, self.log, self.heard, self.edge = http, log, heard, edge

    def application(self, beside: Iterable[Route]) -> Application:
        """The API once more, with other routes beside its own."""
        return create_application(self.edge, self.log.head, WebMetrics(new_registry()), beside)

    async def post(self, path: str, fields: Any = None, **headers: str) -> httpx.Response:
        """Send a command; `idempotency_key="k"` is the header Idempotency-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json={} if fields is None else fields, headers=named)

    async def send(
        self, content: bytes, content_type: str = "application/json", path: str = "/v1/agents"
    ) -> httpx.Response:
        return await self.http.post(path, content=content, headers={"content-type": content_type})

    async def agent(self, name: str = "Ada", **headers: str) -> str:
        """The id of a new agent."""
        answer = await self.post("/v1/agents", {"name": name, "agent_type": "reactive"}, **headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stream_id"]).removeprefix("agent-")

    async def origin_of_last(self) -> Any:
        return orjson.loads((await self.log.read(0, 1_000))[-1].metadata)


@asynccontextmanager
async def command_api(settings: Settings) -> AsyncIterator[CommandApi]:
    log, heard = MemoryEventStore(), Heard()
    bus = CommandBus(log, CATALOG, EVENTS, settings)
    metrics = WebMetrics(new_registry())
    edge = CommandEdge(bus, CATALOG, heard, settings, metrics)
    application = create_application(edge, log.head, metrics)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://commands") as http:
        yield CommandApi(http, log, heard, edge)
