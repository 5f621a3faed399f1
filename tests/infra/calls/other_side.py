"""The other side of a call: a real HTTP server on this machine, whose answers a test chooses and whose requests it can look at."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.server import ServerState

from infra.calls.call import CallContext, CallSettings, open_resources


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Answer = Callable[[Seen], Response]


class OtherSide:
    """Answers by path; a path that nobody described is 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self._answers: dict[str, Answer] = {}

    def at(self, path: str, answer: Answer | Response | Any) -> str:
        """Answer at a path: with a response, what a function makes of the request, or JSON. Gives the URL."""
        if callable(answer) and not isinstance(answer, Response):
            self._answers[path] = answer
        else:
            response = answer if isinstance(answer, Response) else JSONResponse(answer)
            self._answers[path] = lambda _: response
        return self.url + path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        seen = Seen(request.method, request.url.path, request.url.query, dict(request.headers), await request.body())
        self.seen.append(seen)
        answer = self._answers.get(seen.path, lambda _: JSONResponse({"error": "unknown"}, 404))
        await answer(seen)(scope, receive, send)


@asynccontextmanager
async def other_side() -> AsyncIterator[OtherSide]:
    """uvicorn's protocol without its server, which looks only ten times a second whether it should end."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = OtherSide(f"http://127.0.0.1:{listening.getsockname()[1]}")
        config, state = _config(app), ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(config=config, server_state=state, app_state={}), sock=listening
        )
        yield app
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def _config(app: OtherSide) -> uvicorn.Config:
    config = uvicorn.Config(app, log_config=None, log_level="critical", access_log=False, ws="none", lifespan="off")
    config.load()
    return config


@contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """An address that says nothing to whoever connects to it, as behind a firewall."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(family))
        listening.bind((address, port))
        listening.listen(0)
        for _ in range(3):  # nobody accepts them: whoever comes next gets no answer
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


LOOPBACK = ("127.0.0.0/8", "::1/128")


@asynccontextmanager
async def calling(key: str = "call-1", **settings: Any) -> AsyncIterator[CallContext]:
    """A context for calls to this machine; `settings` are those of CallSettings."""
    chosen = CallSettings(**({"networks_allowed": LOOPBACK} | settings))
    async with open_resources(chosen) as resources:
        yield CallContext(key, resources)
