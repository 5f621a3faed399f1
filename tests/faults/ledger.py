"""The world outside of runs: a service that does and undoes steps, fails as it is told, and keeps account of what took effect."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import uvicorn

SLOW_S = 3.0

Key = tuple[str, str, str]
"""A run, a step, and `do` or `undo`."""


class Heard(NamedTuple):
    """A request as it came in, and how it was answered."""

    at: datetime
    what: Key
    idempotency_key: str
    status: int


@dataclass
class Ledger:
    """An ASGI application: `POST /do/<run>/<step>?mode=` and `/undo/...`.

    Like any service worth calling it does a thing once for each idempotency key; `effects` are the keys that took effect. Modes: `ok`,
    `fail`, `once` (the first request fails), `slow` (it answers too late, and does nothing).
    Once it is `mended` everything works.
    """

    effects: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    requests: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    order: list[Key] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    url: str = ""
    mended: bool = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        _, what, run, step = scope["path"].split("/")
        mode = parse_qs(scope["query_string"].decode()).get("mode", ["ok"])[0]
        key = (run, step, what)
        self.requests[key] += 1
        status, idempotency = await self._status(mode, key), dict(scope["headers"])[b"idempotency-key"].decode()
        self.heard.append(Heard(datetime.now(UTC), key, idempotency, status))
        if status == 200 and idempotency not in self.effects[key]:
            self.effects[key].add(idempotency)
            self.order.append(key)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"done":"%s"}' % step.encode()})

    async def _status(self, mode: str, key: Key) -> int:
        if self.mended:
            return 200
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
            return 503
        if mode == "fail" or (mode == "once" and self.requests[key] == 1):
            return 500
        return 200


@asynccontextmanager
async def running_ledger() -> AsyncIterator[Ledger]:
    """A ledger that answers on this machine."""
    ledger = Ledger()
    config = uvicorn.Config(ledger, host="127.0.0.1", port=0, log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    ledger.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield ledger
    finally:
        server.should_exit = True
        await serving
