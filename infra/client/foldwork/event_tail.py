"""Follows the events of a tenant as they are recorded, over server-sent events.

Guarantee: every event after the position where it began, once and in order, whatever becomes of the connection meanwhile; the log says
once per outage that nobody answers, and where.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from foldwork.answers import Refused
from foldwork.connection import place_of

log = logging.getLogger("foldwork")

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0
SILENCE_S_MAX = 45.0
"""The query API sends something at least every 15 s."""


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event. `subject` is its stream, `document` the whole CloudEvent."""

    position: int
    type: str
    subject: str
    data: dict[str, Any]
    document: dict[str, Any]


async def subscribe(
    queries: str = "http://127.0.0.1:8001",
    *,
    tenant: str = "default",
    after: int | None = None,
    types: Sequence[str] = (),
    stream: str | None = None,
) -> AsyncIterator[Event]:
    """The events after a position (None: from now on), of these types and this stream if any are given. Raises Refused."""
    parameters: dict[str, Any] = {"type": list(types)} if types else {}
    if stream is not None:
        parameters["stream"] = stream
    last, pause_s, is_told = after, PAUSE_S_MIN, False
    timeout = httpx.Timeout(10.0, read=SILENCE_S_MAX)
    async with httpx.AsyncClient(timeout=timeout, headers={"Foldwork-Tenant": tenant}) as http:
        while True:
            headers = {} if last is None else {"Last-Event-ID": str(last)}
            try:
                async with http.stream(
                    "GET", queries + "/v1/events/stream", params=parameters, headers=headers
                ) as answer:
                    await _raise_for(answer)
                    async for position, document in _records(answer):
                        if is_told:
                            log.info("the query API answers again at %s", place_of(queries))
                        last, pause_s, is_told = position, PAUSE_S_MIN, False
                        if document is not None:
                            yield Event(position, document["type"], document["subject"], document["data"], document)
            except httpx.TransportError as broken:
                if pause_s > PAUSE_S_MIN and not is_told:
                    log.warning(
                        "the query API does not answer at %s, and is tried again: %s",
                        place_of(queries),
                        str(broken) or type(broken).__name__,
                    )
                    is_told = True
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, PAUSE_S_MAX)


async def _raise_for(answer: httpx.Response) -> None:
    if 400 <= answer.status_code < 500:
        raise Refused(orjson.loads(await answer.aread()))
    if answer.status_code >= 500:
        raise httpx.ReadError(f"The query API answered {answer.status_code}.")


async def _records(answer: httpx.Response) -> AsyncIterator[tuple[int, dict[str, Any] | None]]:
    """The position that each record names, and the CloudEvent in it if there is one. Format: WHATWG HTML, 9.2."""
    position, data = -1, ""
    async for line in _lines(answer):
        name, _, value = line.partition(":")
        if name == "id":
            position = int(value)
        elif name == "data":
            data = value.strip()
        elif not line and position >= 0:
            yield position, orjson.loads(data) if data else None
            position, data = -1, ""


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Those of server-sent events. httpx's own also end at U+0085, U+2028 and U+2029, which may stand in the text of an event."""
    rest = b""
    async for part in answer.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode().removesuffix("\r")
