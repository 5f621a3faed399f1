"""What every HTTP process answers beside its own routes: /healthz, /readyz, /metrics, /openapi.json and /docs."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache

import structlog

from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Reply, Schema, page
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_request import Answer, Request
from infra.errors import Fault
from infra.telemetry import metrics_page

log = structlog.get_logger()

READY_S_MAX = 1.0
TAG = "operations"

_ALIVE = b'{"status":"alive"}'
_READY = b'{"status":"ready"}'
_NOT_READY = b'{"status":"not ready"}'


def operations(ready: Callable[[], Awaitable[object]], metrics: WebMetrics) -> list[Route]:
    """`ready` returns when the process can do its work; it has READY_S_MAX for that, or raises a Fault."""

    async def healthz(_: Request) -> Answer:
        return Answer(200, _ALIVE)

    async def readyz(_: Request) -> Answer:
        try:
            async with asyncio.timeout(READY_S_MAX):
                await ready()
        except (Fault, TimeoutError) as reason:
            log.info("not ready", cause=type(reason).__name__)
            return Answer(503, _NOT_READY)
        return Answer(200, _READY)

    async def exposition(_: Request) -> Answer:
        body, content_type = metrics_page(metrics.registry)
        return Answer(200, body, (), content_type.encode())

    text = {200: Reply("Metrics in the Prometheus text format.", {"type": "string"}, "text/plain")}
    return [
        Route("GET", "/healthz", healthz, Operation("healthz", TAG, "Whether the process runs", _status(200, "alive"))),
        Route(
            "GET",
            "/readyz",
            readyz,
            Operation("readyz", TAG, "Whether it can do its work", _status(200, "ready") | _status(503, "not ready")),
        ),
        Route("GET", "/metrics", exposition, Operation("metrics", TAG, "Metrics", text)),
    ]


def documentation(title: str, describe: Callable[[], bytes]) -> list[Route]:
    """The OpenAPI document, written when it is first asked for, and the page that shows it."""
    described = cache(describe)

    async def openapi(_: Request) -> Answer:
        return Answer(200, await asyncio.to_thread(described))

    async def docs(_: Request) -> Answer:
        return Answer(200, await asyncio.to_thread(page, title), (), b"text/html; charset=utf-8")

    return [Route("GET", "/openapi.json", openapi), Route("GET", "/docs", docs)]


def _status(status: int, word: str) -> dict[int, Reply]:
    schema: Schema = {
        "type": "object",
        "required": ["status"],
        "additionalProperties": False,
        "properties": {"status": {"const": word}},
    }
    return {status: Reply(f"It is {word}.", schema)}
