"""Sends commands and asks what has become of them.

Guarantee: a command is sent again under the same id until it is answered or `give_up_after_s` is over; a query waits until the read
model has seen what this client was answered before.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import orjson
from nats.errors import Error as NatsError

from foldwork.answers import CONTENDED, Answer, Refused, Unavailable, too_large
from foldwork.command_channel import HEADER_BYTES_MAX
from foldwork.connection import Connection

T = TypeVar("T")
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 1.0
REQUEST_S_MAX = 10.0


class Client:
    """`async with Client() as client:`; `commands` is the URL of the command API or of NATS, `queries` that of the query API.

    `position` is the highest that a command was answered. Entered with the URL of NATS it raises Unavailable if nobody answers there
    within `give_up_after_s`.
    """

    def __init__(
        self,
        commands: str = "http://127.0.0.1:8000",
        queries: str = "http://127.0.0.1:8001",
        *,
        tenant: str = "default",
        actor: str = "anonymous",
        give_up_after_s: float = 10.0,
    ) -> None:
        self.position = 0
        self._commands = commands
        self._queries = queries
        self._tenant = tenant
        self._headers = {"Foldwork-Actor": actor}
        self._give_up_after_s = give_up_after_s
        self._http = httpx.AsyncClient(timeout=REQUEST_S_MAX, headers={"Foldwork-Tenant": tenant})
        self._nats: Connection | None = None
        self._paths: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        if urlsplit(self._commands).scheme in ("nats", "tls", "ws", "wss"):
            self._nats = Connection(self._commands)
            async with AsyncExitStack() as unless_open:
                unless_open.push_async_callback(self._close)
                try:
                    await self._nats.open(self._give_up_after_s, name="foldwork client")
                except TimeoutError:
                    cause = f" at {self._nats.place}: {self._nats.trouble or 'no answer'}"
                    raise self._unavailable(cause) from None
                unless_open.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._nats is not None:
            await self._nats.close()
        await self._http.aclose()

    async def send(
        self,
        command: str,
        fields: Mapping[str, Any] | None = None,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Send a command by its name, `await client.send("StartAgent", {"agent_id": "a"})`. Raises Refused and Unavailable."""
        given = {
            "Idempotency-Key": command_id or uuid4().hex,
            "Foldwork-Expected-Version": None if expected_version is None else str(expected_version),
            "Foldwork-Correlation-Id": correlation_id,
            "traceparent": traceparent,
        }
        headers = self._headers | {name: value for name, value in given.items() if value is not None}
        send = self._over_http if self._nats is None else self._over_nats

        async def ask() -> Answer:
            try:
                return await send(command, dict(fields or {}), headers)
            except Refused as refused:
                if expected_version is None and refused.code in CONTENDED:
                    raise Unavailable(str(refused)) from refused
                raise

        answer = await self._until_answered(ask)
        self.position = max(self.position, answer.position)
        return answer

    async def query(self, path: str, *, min_position: int | None = None, **parameters: Any) -> Any:
        """Ask the query API, `await client.query("/v1/tasks", status="running")`; gives the parsed answer."""
        least = self.position if min_position is None else min_position

        async def ask() -> Any:
            headers = {"Foldwork-Min-Position": str(least)} if least else {}
            return _read(await self._http.get(self._queries + path, params=parameters, headers=headers))

        return await self._until_answered(ask)

    async def _over_http(self, command: str, fields: dict[str, Any], headers: dict[str, str]) -> Answer:
        path = (await self._path_of(command)).split("/")
        for number, part in enumerate(path):
            if part.startswith("{"):
                path[number] = quote(str(fields.pop(part.strip("{}"), "")), safe="")
        sent = {**headers, "Content-Type": "application/json"}
        return Answer.of(
            _read(await self._http.post(self._commands + "/".join(path), content=orjson.dumps(fields), headers=sent))
        )

    async def _path_of(self, command: str) -> str:
        """The path of a command; the API's own document tells it."""
        if not self._paths:
            document = _read(await self._http.get(self._commands + "/openapi.json"))
            self._paths = {
                operation["operationId"]: path
                for path, operations in document["paths"].items()
                for method, operation in operations.items()
                if method == "post"
            }
        if command not in self._paths:
            raise Refused({"status": 404, "type": "command-unknown", "detail": f"There is no command {command!r}."})
        return self._paths[command]

    async def _over_nats(self, command: str, fields: dict[str, Any], headers: dict[str, str]) -> Answer:
        assert self._nats is not None
        body, bytes_max = orjson.dumps(fields), self._nats.max_payload - HEADER_BYTES_MAX
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        subject = f"cmd.{self._tenant}.{command}"
        reply = await self._nats.request(subject, body, timeout=REQUEST_S_MAX, headers=headers)
        return Answer.of(_raise_for(int((reply.headers or {}).get("Foldwork-Status", 503)), orjson.loads(reply.data)))

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        pause_s, cause = PAUSE_S_MIN, ""
        try:
            async with asyncio.timeout(self._give_up_after_s) as limit:
                while not limit.expired():  # the cancellation by which it would end can get lost, see ending.py
                    try:
                        return await ask()
                    except (Unavailable, httpx.TransportError, NatsError, OSError) as failure:
                        cause = _cause(failure)
                        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                        pause_s = min(2 * pause_s, PAUSE_S_MAX)
                raise TimeoutError
        except TimeoutError:
            raise self._unavailable(cause) from None

    def _unavailable(self, cause: str) -> Unavailable:
        return Unavailable(f"Foldwork did not answer within {self._give_up_after_s:g} s{cause}.")


def _cause(failure: Exception) -> str:
    """Where nobody answered, where that is known, and what was the matter."""
    where = ""
    if isinstance(failure, httpx.TransportError):
        where = f" at {failure.request.url.scheme}://{failure.request.url.netloc.decode()}"
    return f"{where}: {str(failure).rstrip('.') or type(failure).__name__}"


def _read(answer: httpx.Response) -> Any:
    try:
        document = orjson.loads(answer.content)
    except ValueError:
        document = {"status": answer.status_code, "detail": answer.reason_phrase}
    return _raise_for(answer.status_code, document)


def _raise_for(status: int, document: Any) -> Any:
    if status >= 500:
        raise Unavailable(str(document.get("detail", status)))
    if status >= 400:
        raise Refused(document)
    return document
