"""Asks the query API: rows, events and the live stream, again and again until it answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from types import TracebackType
from typing import TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from infra.tail import lines_of
from read_side.demo.client import RETRY_S_MAX, RETRY_S_MIN, TRY_AGAIN, UnexpectedAnswer
from read_side.demo.scenario import JsonObject

PAGE_ROWS = 1_000
REQUEST_S_MAX = 30.0
PATIENCE_S = 60.0
STREAM_SILENCE_S_MAX = 20.0

M = TypeVar("M", bound=BaseModel)


class WireEvent(BaseModel):
    """An event as the query API gives it, a CloudEvent; `subject` is its stream."""

    position: int
    type: str
    subject: str
    streamversion: int
    data: JsonObject

    @property
    def entity_id(self) -> str:
        return self.subject.partition("-")[2]


class _Page(BaseModel):
    data: list[JsonObject]
    next_cursor: str | None = None


class _EventPage(BaseModel):
    data: list[WireEvent]


class QueryClient:
    """Asks for one tenant. Use it as a context."""

    def __init__(self, query_url: str, tenant: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=query_url,
            timeout=REQUEST_S_MAX,
            headers={"Foldwork-Tenant": tenant},
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> "QueryClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def rows(self, path: str, row: type[M], min_position: int = 0) -> list[M]:
        """All rows of a list, as models that have seen `min_position`."""
        parse = TypeAdapter(list[row])  # type: ignore[valid-type]  # a type that is chosen at run time
        found: list[M] = []
        cursor: str | None = None
        while True:
            page = _Page.model_validate_json(
                await self._get(path, {"limit": PAGE_ROWS, "cursor": cursor}, min_position)
            )
            found.extend(parse.validate_python(page.data))
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def one(self, path: str, model: type[M], min_position: int = 0) -> M:
        """A single answer, of a model that has seen `min_position`."""
        return model.model_validate_json(await self._get(path, {}, min_position))

    async def events(self, after: int, stream: str | None = None) -> AsyncIterator[WireEvent]:
        """The log, or one stream of it, from `after` to where it ends now."""
        while True:
            page = _EventPage.model_validate_json(
                await self._get("/v1/events", {"after": after, "limit": PAGE_ROWS, "stream": stream}, 0)
            )
            for event in page.data:
                yield event
            if not page.data:
                return
            after = page.data[-1].position

    async def live(self, event_type: str, after: int) -> AsyncIterator[WireEvent]:
        """The events of a type after a position, those to come included; connects anew when the stream breaks."""
        wait_s = RETRY_S_MIN
        while True:
            try:
                async for event in self._stream(event_type, after):
                    wait_s = RETRY_S_MIN
                    if event.position > after:
                        after = event.position
                        yield event
            except httpx.TransportError:
                wait_s = min(2 * wait_s, RETRY_S_MAX)
            except httpx.HTTPStatusError as refused:
                if refused.response.status_code not in TRY_AGAIN:
                    raise UnexpectedAnswer(f"GET /v1/events/stream: {refused.response.status_code}") from refused
                wait_s = min(2 * wait_s, RETRY_S_MAX)
            await asyncio.sleep(wait_s)

    async def _stream(self, event_type: str, after: int) -> AsyncIterator[WireEvent]:
        """One connection: server-sent events (WHATWG HTML), their ids being positions."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(REQUEST_S_MAX, read=STREAM_SILENCE_S_MAX)
        params: dict[str, str | int] = {"type": event_type, "after": after}
        stream = self._http.stream("GET", "/v1/events/stream", params=params, headers=headers, timeout=timeout)
        async with stream as reply:
            reply.raise_for_status()
            data: list[str] = []
            async for line in lines_of(reply):
                if line.startswith("data:"):
                    data.append(line[5:])
                elif not line and data:
                    event = _wire_event("\n".join(data))
                    data.clear()
                    if event is not None:
                        yield event

    async def _get(self, path: str, params: Mapping[str, str | int | None], min_position: int) -> bytes:
        """The body; raises UnexpectedAnswer if there is none in PATIENCE_S."""
        given = {key: value for key, value in params.items() if value is not None}
        headers = {"Foldwork-Min-Position": str(min_position)} if min_position else {}
        until = monotonic() + PATIENCE_S
        wait_s = RETRY_S_MIN
        while True:
            try:
                reply = await self._http.get(path, params=given, headers=headers)
            except httpx.TransportError as lost:
                answer = f"{type(lost).__name__}"
            else:
                if reply.status_code == httpx.codes.OK:
                    return reply.content
                answer = f"{reply.status_code} {reply.text[:500]}"
                if reply.status_code not in TRY_AGAIN:
                    raise UnexpectedAnswer(f"GET {path}: {answer}")
            if monotonic() > until:
                raise UnexpectedAnswer(f"GET {path} was not answered within {PATIENCE_S:g} s: {answer}")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)


def _wire_event(text: str) -> WireEvent | None:
    """None for what else a stream may carry, for example a notice that it begins."""
    try:
        return WireEvent.model_validate_json(text)
    except ValidationError:
        return None
