"""Follows the log through the query API: pages of past events, then server-sent events.

Guarantee: in order of position, each event once, also across a restart of the query API.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Any

import httpx
import orjson

from infra.refusal import Refused, is_answer, refusal_of

PAGE_EVENTS = 500
REQUEST_S_MAX = 10.0
RECONNECT_S = 0.5
SILENCE_S_MAX = 30.0
"""How long the query API may be away, or answer that it cannot, before a tail gives up."""
KEPT_ALIVE_S_MAX = 60.0
"""A live stream says something every 15 s; one that says nothing for so long is dead, whatever the network makes of it."""

CloudEvent = dict[str, Any]


class Unavailable(Refused):
    """The query API cannot answer at the moment."""


class Tail:
    """One reader of one tenant's events, of one type or stream or of all."""

    def __init__(
        self, query_url: str, tenant: str, event_type: str | None = None, stream_id: str | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=query_url, timeout=REQUEST_S_MAX, headers={"Foldwork-Tenant": tenant}, trust_env=False
        )
        wanted = {"type": event_type, "stream": stream_id}
        self._filter = {name: value for name, value in wanted.items() if value}

    async def head(self) -> int:
        """The position of the last event, as far as a read model knows of it."""
        answer = await _answered(await self._http.get("/v1/projections"))
        return max((row["position"] + row["lag"] for row in answer.json()["data"]), default=0)

    async def past(self, after: int) -> AsyncGenerator[CloudEvent]:
        """What is there now, page by page."""
        while True:
            query: dict[str, Any] = {"after": after, "limit": PAGE_EVENTS, **self._filter}
            answer = await _answered(await self._http.get("/v1/events", params=query))
            page = answer.json()
            for event in page["data"]:
                yield event
            # A page may be short, or empty, before the end: the query API bounds what it searches and how much it sends.
            if page["next_cursor"] is None:
                return
            after = int(page["next_cursor"])

    async def follow(self, after: int) -> AsyncGenerator[CloudEvent]:
        """What is there and what comes; connects again from the last position when the connection breaks or a server is away.

        Raises Refused, and what was the matter if nobody answers for SILENCE_S_MAX.
        """
        broken_since: float | None = None
        while True:
            try:
                async with aclosing(self._stream(after)) as events:
                    async for event in events:
                        broken_since = None
                        if event is not None:
                            after = event["position"]
                            yield event
            except (httpx.TransportError, Unavailable):
                broken_since = broken_since or monotonic()
                if monotonic() - broken_since > SILENCE_S_MAX:
                    raise
            await asyncio.sleep(RECONNECT_S)

    async def _stream(self, after: int) -> AsyncGenerator[CloudEvent | None]:
        """One connection, None once it stands; a record is lines up to an empty one (WHATWG HTML, server-sent events)."""
        query: dict[str, Any] = {"after": after, **self._filter}
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(REQUEST_S_MAX, read=KEPT_ALIVE_S_MAX)
        async with self._http.stream(
            "GET", "/v1/events/stream", params=query, headers=headers, timeout=timeout
        ) as answer:
            await _answered(answer)
            yield None
            data: list[str] = []
            async for line in lines_of(answer):
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    event = orjson.loads("\n".join(data))
                    data.clear()
                    if isinstance(event, dict) and "position" in event:
                        yield event

    async def close(self) -> None:
        await self._http.aclose()


async def lines_of(answer: httpx.Response) -> AsyncGenerator[str]:
    """Lines of server-sent events. httpx's own also end at U+0085, U+2028 and U+2029, which may stand in the text of an event."""
    rest = b""
    async for part in answer.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode().removesuffix("\r")


async def _answered(answer: httpx.Response) -> httpx.Response:
    """The answer if it is one. Raises Refused with what the problem document says, Unavailable if it may be better soon."""
    if is_answer(answer):
        return answer
    await answer.aread()
    raise (Unavailable if answer.is_server_error else Refused)(refusal_of(answer, "FOLDWORK_QUERY_PORT"))
