"""The HTTP edge: an ASGI application that finds a request's route, reads what it sends and answers, problems included.

Neither FastAPI nor Starlette routes here: both try one pattern after another and build a request object per layer, which costs more than
deciding and appending a command together. Here a path is found by one dictionary look-up per segment, and the OpenAPI document is written
from the same definitions that check what comes in (web_docs.py). Any ASGI server runs it; TestClient tests it.

Guarantee: whatever is sent is answered, with a problem document if it is refused; a fault is a 503 with Retry-After, what nobody foresaw
a 500 and a line in the log without the body. Bodies are bounded in bytes here and in time by the server (web_server.py).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal
from urllib.parse import quote

import structlog

from infra.adapters.problem import (
    RETRY_AFTER_S,
    BodyTooLarge,
    MethodNotAllowed,
    UnknownPath,
    UpgradeRequired,
    dump,
    problem,
    unexpected,
)
from infra.adapters.web_docs import Operation
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_request import Answer, Endpoint, Header, Messages, Receive, Request, Scope, Send, Stream
from infra.adapters.web_stream import serve_socket, serve_stream
from infra.errors import Fault, Rejection

log = structlog.get_logger()

INSTANCE_CHARACTERS_MAX = 500
PROBLEM = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path template, of which one segment may be open (`/v1/agents/{agent_id}`); no operation: not in the document."""

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A path that speaks WebSocket: the endpoint gives the messages to send, or refuses before the connection is accepted."""

    path: str
    endpoint: Messages


@dataclass(slots=True)
class _Segment:
    """A place in the tree of paths."""

    literal: dict[str, "_Segment"] = field(default_factory=dict)
    open: "_Segment | None" = None
    template: str = ""
    routes: dict[str, Route] = field(default_factory=dict)
    socket: SocketRoute | None = None


class Application:
    """An ASGI application. Set `stopping` to end the answers that would never end by themselves."""

    def __init__(self, routes: Iterable[Route], metrics: WebMetrics, sockets: Iterable[SocketRoute] = ()) -> None:
        self.stopping = asyncio.Event()
        self._metrics = metrics
        self._root = _Segment()
        self._literal: dict[str, _Segment] = {}
        for route in routes:
            place = self._place(route.path)
            place.routes[route.method] = route
            if "{" not in route.path:
                self._literal[route.path] = place
        for socket in sockets:
            self._place(socket.path).socket = socket

    def _place(self, path: str) -> _Segment:
        place = self._root
        for part in path[1:].split("/"):
            if part.startswith("{"):
                place.open = place.open or _Segment()
                place = place.open
            else:
                place = place.literal.setdefault(part, _Segment())
        place.template = path
        return place

    def _find(self, path: str) -> tuple[_Segment | None, str]:
        """The place that a path leads to, and the segment that its template leaves open."""
        known = self._literal.get(path)
        if known is not None:
            return known, ""
        place, parameter = self._root, ""
        for part in path[1:].split("/"):
            below = place.literal.get(part)
            if below is None:
                below, parameter = place.open, part
                if below is None:
                    return None, ""
            place = below
        return (place if place.template else None), parameter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        else:
            await _lifespan(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        place, parameter = self._find(scope["path"])
        try:
            route = _route(place, scope["method"])
            answer = await route.endpoint(Request(scope, receive, parameter))
        except Exception as error:
            answer = refusal(error, scope, place)
        template = place.template if place is not None else "unmatched"
        if isinstance(answer, Stream):
            self._metrics.answered(template, scope["method"], 200, perf_counter() - started)
            headers = [(b"content-type", answer.content_type), *answer.headers]
            if scope["method"] == "HEAD":
                await answer.parts.aclose()
                answer_head = {"type": "http.response.start", "status": 200, "headers": headers}
                await send(answer_head)
                await send({"type": "http.response.body", "body": b""})
            else:
                await serve_stream(answer.first, answer.parts, headers, receive, send, self.stopping)
            return
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        self._metrics.answered(template, scope["method"], answer.status, perf_counter() - started)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        place, parameter = self._find(scope["path"])
        await receive()
        try:
            if place is None or place.socket is None:
                raise UnknownPath
            messages = await place.socket.endpoint(Request(scope, receive, parameter))
        except Exception as error:
            await _deny(refusal(error, scope, place), scope, send)
            return
        await send({"type": "websocket.accept"})
        await serve_socket(messages, receive, send, self.stopping)


def _route(place: _Segment | None, method: str) -> Route:
    if place is None:
        raise UnknownPath("There is nothing at this path; /openapi.json says which paths there are.")
    route = place.routes.get(method)
    if route is None and method == "HEAD":
        route = place.routes.get("GET")
    if route is not None:
        return route
    if not place.routes:
        raise UpgradeRequired
    raise MethodNotAllowed(f"This path takes only {', '.join(_methods(place))}.")


def _methods(place: _Segment) -> list[str]:
    return [*place.routes, *(["HEAD"] if "GET" in place.routes else [])]


def refusal(error: Exception, scope: Scope, place: _Segment | None = None) -> Answer:
    """The answer to a request that was refused or went wrong."""
    instance = quote(scope["path"], safe="/:@-._~!$&'()*+,;=")[:INSTANCE_CHARACTERS_MAX]
    headers: list[Header] = []
    if isinstance(error, Rejection):
        document = problem(error.with_traceback(None), instance)
        if isinstance(error, MethodNotAllowed) and place is not None:
            headers.append((b"allow", ", ".join(_methods(place)).encode()))
        elif isinstance(error, UpgradeRequired):
            headers.append((b"upgrade", b"websocket"))
        elif isinstance(error, BodyTooLarge):
            headers.append((b"connection", b"close"))
    elif isinstance(error, Fault):
        document = problem(error, instance)
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        log.warning("request.failed", code=error.code, path=place.template if place else "")
    else:
        document = unexpected(instance)
        log.error("request.broke_down", path=place.template if place else "", exc_info=error)
    return Answer(document["status"], dump(document), headers, PROBLEM)


async def _deny(answer: Answer, scope: Scope, send: Send) -> None:
    """Refuse a WebSocket; with an HTTP answer where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", answer.content_type), *answer.headers]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing to start or to stop: whoever made the application does that."""
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return
