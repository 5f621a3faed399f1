"""Runs an application on uvicorn within a process that does other things as well.

Guarantee: a client that sends slowly or without an end holds a connection for a bounded time and a bounded memory. When its task is
cancelled the server stops listening, lets the requests under way end, within a bounded time, and only then returns.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.adapters.web import Application
from infra.adapters.web_transport import JoiningTransport

log = structlog.get_logger()

DRAIN_S_MAX = 10
KEEP_ALIVE_S = 75
HEAD_BYTES_MAX = 65_536
REQUEST_S_MAX = 30.0
REQUEST_CHECK_S = 5.0
SOCKET_MESSAGE_BYTES_MAX = 4_096
SOCKET_PING_S = 15.0


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with a bound on the request line and headers, which the parser does not have."""

    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(JoiningTransport(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    @property
    def waits_for_client(self) -> bool:
        """Whether a request has begun, or was to begin, and the rest of it is still to come."""
        cycle: Any = self.cycle
        if cycle is None:
            return True
        if cycle.response_complete:
            return self._in_head or self.timeout_keep_alive_task is None
        return bool(cycle.more_body)


class _Server(uvicorn.Server):
    """Signals are the business of the whole process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def close_slow_requests(self, request_s_max: float, check_s: float) -> None:
        """Close connections whose client takes too long over one request, for ever."""
        loop = asyncio.get_running_loop()
        waiting: dict[_Protocol, tuple[object, float]] = {}
        while True:
            await asyncio.sleep(check_s)
            now = loop.time()
            waiting = {
                protocol: known
                if (known := waiting.get(protocol)) and known[0] is protocol.cycle
                else (protocol.cycle, now)
                for protocol in _waiting(self.server_state.connections)
            }
            for protocol, (_, since) in waiting.items():
                if now - since > request_s_max:
                    log.info("request.too_slow")
                    protocol.transport.close()


def _waiting(connections: Iterable[object]) -> list[_Protocol]:
    return [each for each in connections if isinstance(each, _Protocol) and each.waits_for_client]


async def serve(
    application: Application,
    host: str,
    port: int,
    *,
    request_s_max: float = REQUEST_S_MAX,
    request_check_s: float = REQUEST_CHECK_S,
) -> None:
    """Serve until cancelled. Raises SystemExit if the port cannot be had."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=_Protocol,
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
    watching = asyncio.create_task(server.close_slow_requests(request_s_max, request_check_s), name="slow requests")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        application.stopping.set()
        server.should_exit = True
        await serving
    finally:
        watching.cancel()
