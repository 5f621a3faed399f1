"""Runs an application on uvicorn within a process that does other things as well.

Guarantee: when its task is cancelled it stops listening, lets the requests under way end, within a bounded time, and only then returns.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from infra.adapters.web import Application

DRAIN_S_MAX = 10
KEEP_ALIVE_S = 75
SOCKET_MESSAGE_BYTES_MAX = 4_096
SOCKET_PING_S = 15.0


class _Server(uvicorn.Server):
    """Signals are the business of the whole process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(application: Application, host: str, port: int) -> None:
    """Serve until cancelled. Raises SystemExit if the port cannot be had."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S_MAX,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_ping_interval=SOCKET_PING_S,
        ws_ping_timeout=SOCKET_PING_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="uvicorn")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        application.stopping.set()
        server.should_exit = True
        await serving
