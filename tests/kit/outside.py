"""The world outside, for workflows under test: one server that stands for every host the kit and the examples speak to.

Each host has a port of its own, so that a request says by where it arrives whom it was meant for. Whatever has no route is
answered 404, and everything that was asked is remembered in its order.
"""

import asyncio
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn

HOST = "127.0.0.1"
START_S_MAX = 10.0
JSON = "application/json"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `origin` is whom it was meant for, `body` is parsed if it is JSON or a form."""

    origin: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any

    @property
    def url(self) -> str:
        return self.origin + self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says; `content` is sent as JSON unless it is bytes."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


Reply = Callable[..., Answer]
"""Given what was asked, and the named parts of its path."""


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a regular expression for the whole path; its named groups are handed to the reply."""

    origin: str
    method: str
    path: str
    reply: Reply


class Outside:
    """Use it as a context. `origins` says where each host is found instead."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._sockets = {origin: _listening() for origin in sorted({route.origin for route in self._routes})}
        self._origin_of = {each.getsockname()[1]: origin for origin, each in self._sockets.items()}
        self._first: defaultdict[str, list[Answer]] = defaultdict(list)
        self._asked: list[Asked] = []
        configuration = uvicorn.Config(self, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def origins(self) -> dict[str, str]:
        return {origin: f"http://{HOST}:{port}" for port, origin in self._origin_of.items()}

    def __enter__(self) -> "Outside":
        self._thread.start()
        until = time.monotonic() + START_S_MAX
        while not self._server.started:
            if time.monotonic() > until:
                raise TimeoutError("the server that stands for the world outside did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def forget(self) -> None:
        """As if nobody had asked anything, and with nothing in store."""
        self._asked.clear()
        self._first.clear()

    def first(self, url: str, *answers: Answer) -> None:
        """What is answered to the next requests for an address, before the route has its turn."""
        self._first[url].extend(answers)

    def asked(self, origin: str = "", path: str = "") -> list[Asked]:
        """What has been asked, of one host or all of them, in order."""
        return [each for each in self._asked if each.origin.startswith(origin) and each.path.startswith(path)]

    def _serve(self) -> None:
        asyncio.run(self._server.serve(list(self._sockets.values())))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        asked = await self._understand(scope, receive)
        self._asked.append(asked)
        answer = self._first[asked.url].pop(0) if self._first[asked.url] else self._answer(asked)
        await asyncio.sleep(answer.delay_s)
        raw = isinstance(answer.content, bytes)
        body = answer.content if raw else b"" if answer.content is None else orjson.dumps(answer.content)
        headers = {"content-type": JSON, "content-length": str(len(body)), **answer.headers}
        found = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": found})
        await send({"type": "http.response.body", "body": body})

    async def _understand(self, scope: dict[str, Any], receive: Receive) -> Asked:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        return Asked(
            origin=self._origin_of[scope["server"][1]],
            method=scope["method"],
            path=scope["path"],
            query=parse_qsl(scope["query_string"].decode(), keep_blank_values=True),
            headers=headers,
            body=_read(body, headers.get("content-type", "")),
        )

    def _answer(self, asked: Asked) -> Answer:
        here = [route for route in self._routes if route.origin == asked.origin]
        for route in here:
            found = re.fullmatch(route.path, asked.path)
            if found and route.method == asked.method:
                return route.reply(asked, **found.groupdict())
        return Answer(404, {"code": 404, "type": "unknown", "message": f"null for uri: {asked.url}"})


def _listening() -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((HOST, 0))
    return found


def _read(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    if content_type.startswith(JSON):
        return orjson.loads(body)
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode()))
    return body
