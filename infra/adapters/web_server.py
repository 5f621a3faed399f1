"""Runs an application on uvicorn within a process that does other things as well.

Guarantee: a client that sends slowly or without an end, or takes nothing of its answer, holds a connection for a bounded time and a bounded
memory. What comes after a body is no header of its request. When its task is cancelled the server stops listening, lets the requests under
way end, within a bounded time, and only then returns.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.adapters.problem import Malformed, dump, problem
from infra.adapters.web import PROBLEM, Application
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
    """uvicorn's, with a bound on all that is not a body, which the parser does not have, and with problem documents."""

    _in_head = False
    _body_came = False
    _framing_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(JoiningTransport(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        self._body_came = False
        super().data_received(data)
        if not self._body_came and (self._in_head or (self.cycle is not None and self.cycle.more_body)):
            self._framing_bytes += len(data)
            if self._framing_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        self._in_head, self._framing_bytes = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A trailer is dropped: whoever let the request through has judged its head (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_came, self._framing_bytes = True, 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and close; without a word where the answer to an earlier request is still to come, or has begun."""
        if self._may_refuse:
            body = dump(problem(Malformed(msg)))
            head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (PROBLEM, len(body)) + body)
        self.transport.close()

    @property
    def _may_refuse(self) -> bool:
        """Whether what is written next answers the request that is being read."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return bool(cycle.more_body) and not cycle.response_started and not self.pipeline

    @property
    def waits_for_client(self) -> bool:
        """Whether a request has begun, or was to begin, and the rest of it is still to come."""
        cycle: Any = self.cycle
        if cycle is None:
            return True
        if cycle.response_complete:
            return self._in_head or self.timeout_keep_alive_task is None
        return bool(cycle.more_body)


class _WebSocketLines(logging.Filter):
    """Drops uvicorn's line for each WebSocket, which has the client's address and query, and its error for each one that was refused."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return '"WebSocket %s"' not in text and text != "ASGI callable returned without completing handshake."


_WEB_SOCKET_LINES = _WebSocketLines()


class _Server(uvicorn.Server):
    """Signals are the business of the whole process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def close_slow_clients(self, request_s_max: float, check_s: float) -> None:
        """Close connections whose client takes too long over one request, or takes nothing of an answer for as long; for ever."""
        loop = asyncio.get_running_loop()
        asking: _Since = {}
        deaf: _Since = {}
        while True:
            await asyncio.sleep(check_s)
            now = loop.time()
            transports = {_transport_of(each): each for each in self.server_state.connections}
            looks = {
                transport: each.cycle
                for transport, each in transports.items()
                if isinstance(each, _Protocol) and each.waits_for_client
            }
            asking = _since(asking, looks, now)
            deaf = _since(deaf, {each: each.taken for each in transports if each.get_write_buffer_size()}, now)
            for transport in _longer_than(request_s_max, asking, now):
                log.info("request.too_slow")
                transport.close()
            for transport in _longer_than(request_s_max, deaf, now):
                log.info("answer.not_taken")
                # To close it would wait until the rest was taken.
                transport.abort()


_Since = dict[JoiningTransport, tuple[object, float]]
"""What a connection has looked like, and since when."""


def _transport_of(connection: Any) -> JoiningTransport:
    """The one that _Protocol was given; a WebSocket has it from there."""
    transport = connection.transport
    assert isinstance(transport, JoiningTransport)
    return transport


def _since(before: _Since, looks: Mapping[JoiningTransport, object], now: float) -> _Since:
    return {
        each: known if (known := before.get(each)) and known[0] == look else (look, now) for each, look in looks.items()
    }


def _longer_than(seconds: float, connections: _Since, now: float) -> Iterable[JoiningTransport]:
    return [each for each, (_, since) in connections.items() if now - since > seconds]


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
    logging.getLogger("uvicorn.error").addFilter(_WEB_SOCKET_LINES)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="uvicorn")
    watching = asyncio.create_task(server.close_slow_clients(request_s_max, request_check_s), name="slow clients")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        application.stopping.set()
        server.should_exit = True
        await serving
    finally:
        watching.cancel()
