"""The log itself over HTTP: pages of events, and the live stream as server-sent events or over a WebSocket, all as CloudEvents.

Formats: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md and the server-sent events of WHATWG HTML.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from events.catalog import CATALOG
from infra.adapters.web import Route, SocketRoute
from infra.adapters.web_docs import Operation, Schema, problems, reference
from infra.adapters.web_docs import Reply as Documented
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import Parameter, QueryReader, position
from infra.adapters.web_request import Answer, Request, Stream
from read_side.live import Batch, Live, Told, Wanted, tell
from read_side.queries import QUERY_PARAMETERS, PositionNotReached, Queries, answer, found, min_position_of, page_schema

PAGE_BYTES_MAX = 8_388_608
READ_EVENTS_MIN = 100
SCAN_POSITIONS_MAX = 500_000
RECONNECT_MS = 1_000

AFTER = position("after", "query", "Only events after this position.")
TYPE = Parameter(
    "type", "query", {"type": "string", "enum": list(CATALOG.types)}, "Only events of this type.", repeated=True
)
STREAM = Parameter(
    "stream",
    "query",
    {"type": "string", "pattern": r"^[a-z_]{1,64}-[A-Za-z0-9_.:-]{1,128}$"},
    "Only events of this stream, for example `agent-0192...`.",
)
LAST_EVENT_ID = position(
    "Last-Event-ID",
    "header",
    "The position of the last event received; goes before `after`, since browsers send it when they reconnect.",
)
_STREAM_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


class EventLog:
    """Answers with events."""

    def __init__(self, queries: Queries, live: Live) -> None:
        self._queries = queries
        self._live = live
        self._pages = QueryReader((AFTER, queries.limit, TYPE, STREAM))
        self._follows = QueryReader((AFTER, TYPE, STREAM))

    def routes(self) -> list[Route]:
        pages = Operation(
            "list_events",
            "events",
            "The events of a tenant in the order of the log, page by page",
            found("A page of events.", page_schema(reference("CloudEvent"))) | problems(400, 409, 422, 500, 503),
            (*self._pages.parameters, *QUERY_PARAMETERS),
            description="`next_cursor` is the `after` of the next page, null at the end of the log as it is now.",
        )
        follow = Operation(
            "follow_events",
            "events",
            "The events of a tenant as they are recorded, as server-sent events",
            {200: Documented("Events, for as long as the client listens.", _SENT, "text/event-stream")}
            | problems(400, 409, 422, 500, 503),
            (*self._follows.parameters, LAST_EVENT_ID, QUERY_PARAMETERS[0]),
            description=(
                "Begins after `Last-Event-ID` or `after`, which the log must have come to (409), else at its end. "
                "`/v1/events/ws` gives the same over a WebSocket, one CloudEvent per message, with the same query."
            ),
        )
        return [Route("GET", "/v1/events", self._page, pages), Route("GET", "/v1/events/stream", self._sent, follow)]

    def sockets(self) -> list[SocketRoute]:
        return [SocketRoute("/v1/events/ws", self._messages)]

    async def _page(self, request: Request) -> Answer:
        wanted, given = _wanted(request, self._pages)
        limit = given.get("limit", self._queries.settings.page_size_default)
        after, least = given.get("after", 0), min_position_of(request)
        head = await self._queries.log.head()
        if least > head:
            raise PositionNotReached(f"The log is at position {head}, not at {least} yet.", position=head)
        told, seen = await self._read(after, limit, wanted, head)
        following = None if seen >= head else str(seen)
        documents = b",".join([each.document for each in told])
        return answer(b'{"data":[%b],"next_cursor":%b}' % (documents, orjson.dumps(following)), min(seen, head))

    async def _read(self, after: int, limit: int, wanted: Wanted, head: int) -> tuple[list[Told], int]:
        """Up to `limit` events and the position up to which the log was searched; bounded in bytes and in what is searched."""
        told: list[Told] = []
        size, seen = 0, after
        last = min(head, after + SCAN_POSITIONS_MAX) if wanted.stream_id is None else head
        count = min(limit, READ_EVENTS_MIN)
        while len(told) < limit and size < PAGE_BYTES_MAX and seen < last:
            records = await self._queries.log.read(
                seen,
                count,
                tenant_id=wanted.tenant_id,
                types=None if wanted.types is None else sorted(wanted.types),
                stream_id=wanted.stream_id,
                until=last,
            )
            told.extend(tell(record, self._queries.log.shard) for record in records)
            size += sum(len(each.document) for each in told[-len(records) :]) if records else 0
            seen = last if len(records) < count and records.complete else records[-1].position
            count = min(limit - len(told), 2 * count)
        return told, max(seen, after)

    async def _sent(self, request: Request) -> Stream:
        """Begins before it answers, so that what cannot begin is refused with a status."""
        wanted, given = _wanted(request, self._follows)
        last = request.header(b"last-event-id")
        after = given.get("after") if last is None else int(LAST_EVENT_ID.read(last))
        parts = _records(self._live.follow(after, wanted))
        return Stream(await anext(parts), parts, b"text/event-stream", _STREAM_HEADERS)

    async def _messages(self, request: Request) -> AsyncGenerator[bytes, None]:
        wanted, given = _wanted(request, self._follows)
        documents = _documents(self._live.follow(given.get("after"), wanted))
        await anext(documents)
        return documents


def _wanted(request: Request, reader: QueryReader) -> tuple[Wanted, dict[str, Any]]:
    given = reader.read(request.query)
    kinds = given.get("type")
    return Wanted(tenant_of(request), None if kinds is None else frozenset(kinds), given.get("stream")), given


async def _records(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[bytes, None]:
    """Server-sent events; at first, and when nothing is new, a comment with the id from which to go on."""
    begun = await anext(batches)
    async with aclosing(batches):
        yield b"retry: %d\n" % RECONNECT_MS + _record(begun)
        async for batch in batches:
            yield _record(batch)


def _record(batch: Batch) -> bytes:
    if not batch.events:
        return b": at %d\nid: %d\n\n" % (batch.position, batch.position)
    return b"".join(
        [
            b"id: %d\nevent: %b\ndata: %b\n\n" % (each.position, each.type.encode(), each.document)
            for each in batch.events
        ]
    )


async def _documents(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[bytes, None]:
    """First nothing, once it has begun; then one document for each event."""
    await anext(batches)
    async with aclosing(batches):
        yield b""
        async for batch in batches:
            for told in batch.events:
                yield told.document


_WHOLE: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string", "minLength": 1}
_ALWAYS = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "position",
    "tenantid",
    "streamversion",
    "schemaversion",
    "data",
)
CLOUD_EVENT: Schema = {
    "type": "object",
    "description": "An event as a CloudEvents 1.0 JSON document; `data` holds the fields of its type, without those that are not set.",
    "required": list(_ALWAYS),
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid"},
        "source": {"type": "string", "pattern": "^/foldwork/[0-9]+$"},
        "type": {"enum": list(CATALOG.types)},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "description": "The stream."},
        "datacontenttype": {"const": "application/json"},
        "position": _WHOLE,
        "tenantid": _TEXT,
        "streamversion": _WHOLE,
        "schemaversion": _WHOLE,
        "actor": _TEXT,
        "correlationid": _TEXT,
        "causationid": _TEXT,
        "commandid": _TEXT,
        "traceparent": _TEXT,
        "data": {"type": "object"},
    },
}
_SENT: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$", "description": "The event's position."},
        "event": {"enum": list(CATALOG.types)},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": reference("CloudEvent")},
    },
}
