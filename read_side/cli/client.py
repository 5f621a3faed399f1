"""Asks both APIs for one tenant; what they refuse is said plainly, with what to do next.

Guarantee: a question is asked again while its answer is not there yet; a command is sent once, under an id of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from ssl import SSLContext
from time import monotonic
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote

import httpx
import orjson
from pydantic import BaseModel, JsonValue

from infra.errors import Fault
from infra.ids import new_id
from infra.refusal import Refused, is_answer, is_problem, problem_of, refusal_of
from read_side.cli.suggestion import suggestion

PAGE_ROWS = 1_000
REQUEST_S_MAX = 30.0
PATIENCE_S = 30.0
RETRY_S = 0.2
NOT_YET = frozenset({503, 504})

JsonObject = dict[str, JsonValue]


class NotAnswering(Fault):
    """The API does not answer."""


class Accepted(BaseModel):
    """The answer to a command: the version of its stream and the log's position after it."""

    stream_id: str
    version: int
    position: int
    event_ids: list[str]

    @property
    def entity_id(self) -> str:
        """The stream id without its category."""
        return self.stream_id.partition("-")[2]


class Seen(NamedTuple):
    """An answer of the query API, and the position that it reflects at least."""

    found: JsonObject
    position: int


@cache
def _trusted() -> SSLContext:
    """Read once: to read whom this machine trusts takes longer than a request to it."""
    return httpx.create_ssl_context(trust_env=False)


class Client:
    """Use it as a context."""

    def __init__(
        self, command_url: str, query_url: str, tenant: str, actor: str | None = None, groups: Sequence[str] = ()
    ) -> None:
        headers = {"Foldwork-Tenant": tenant}
        if actor:
            headers["Foldwork-Actor"] = actor
        if groups:
            headers["Foldwork-Groups"] = ", ".join(groups)
        self._command_url = command_url
        self._query_url = query_url
        self._http = httpx.AsyncClient(timeout=REQUEST_S_MAX, headers=headers, trust_env=False, verify=_trusted())

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(
        self, path: str, body: JsonObject | bytes, *, key: str | None = None, media_type: str = "application/json"
    ) -> Accepted:
        """Carry out a command. Raises Refused and NotAnswering."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Content-Type": media_type, "Idempotency-Key": key or new_id()}
        try:
            reply = await self._http.post(self._command_url + path, content=content, headers=headers)
        except httpx.TransportError as failure:
            raise _silent("command", self._command_url, failure) from failure
        return Accepted.model_validate_json(_accepted("command", reply).content)

    async def ask(self, path: str, query: Mapping[str, str | int] | None = None, *, position: int = 0) -> Seen:
        """What the query API says once it has seen a position. Raises Refused and NotAnswering."""
        headers = {"Foldwork-Min-Position": str(position)} if position else {}
        until = monotonic() + PATIENCE_S
        while True:
            try:
                reply = await self._http.get(self._query_url + path, params=query, headers=headers)
            except httpx.TransportError as failure:
                raise _silent("query", self._query_url, failure) from failure
            if reply.status_code not in NOT_YET or monotonic() > until:
                break
            await asyncio.sleep(RETRY_S)
        seen = int(_accepted("query", reply).headers.get("foldwork-position", 0))
        return Seen(orjson.loads(reply.content), seen)

    async def rows(
        self, path: str, query: Mapping[str, str | int], rows_max: int, *, position: int = 0
    ) -> AsyncIterator[Seen]:
        """The first rows of a list, one by one, each with the position that it reflects at least."""
        cursor: dict[str, str] = {}
        while rows_max > 0:
            page = {**query, "limit": min(rows_max, PAGE_ROWS), **cursor}
            answer, seen = await self.ask(path, page, position=position)
            rows = answer["data"]
            assert isinstance(rows, list)
            for row in rows:
                assert isinstance(row, dict)
                yield Seen(row, seen)
            rows_max -= len(rows)
            if not isinstance(answer["next_cursor"], str):
                return
            cursor = {"cursor": answer["next_cursor"]}


def path_of(*parts: str) -> str:
    """A path under `/v1`, whatever an id that somebody typed holds."""
    return "/".join(("/v1", *(quote(part, safe="") for part in parts)))


def _silent(which: str, url: str, failure: Exception) -> NotAnswering:
    cause = str(failure) or type(failure).__name__
    return NotAnswering(f"The {which} API at {url} does not answer: {cause}\nIs the system up? See `foldwork status`.")


def _accepted(which: str, reply: httpx.Response) -> httpx.Response:
    if is_answer(reply):
        return reply
    refusal = refusal_of(reply, f"FOLDWORK_{which.upper()}_PORT")
    raise Refused("\n".join([refusal, *_next_step(reply)]) if is_problem(reply) else refusal)


def _next_step(reply: httpx.Response) -> list[str]:
    """What to look at, by what was asked of what."""
    _, _, noun, *rest = reply.request.url.path.split("/")
    tenant = reply.request.headers["Foldwork-Tenant"]
    if reply.status_code == httpx.codes.NOT_FOUND and noun in ("runs", "workflows"):
        listed = suggestion(tenant, "runs" if noun == "runs" and rest else "workflows", "list")
        return [f"`{listed}` shows which there are."]
    if problem_of(reply).code == "not-asked-to-approve":
        return ["Say who decides with `--actor NAME`, and for each group they are in `--group NAME`."]
    if reply.status_code == httpx.codes.CONFLICT and noun == "runs" and rest:
        return [f"`{suggestion(tenant, 'runs', 'show', rest[0])}` shows where it stands."]
    return ["`foldwork status` shows what is wrong."] if reply.is_server_error else []
