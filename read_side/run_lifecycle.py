"""What happened to a run as lifecycle events of the Open Workflow Specification, page by page, as CloudEvents.

Nothing is kept for it: each page follows from the run's own events, which are read when it is asked for. What is known of a run where a
page ended is remembered for a while, of a bounded number of pages; if it is forgotten, what came before is folded again, a part at a time.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from events.catalog import CATALOG
from events.lifecycle import LIFECYCLE, LifecycleEvent
from events.run_lifecycle import TOLD_OF, RunLifecycle
from infra.adapters.cloud_event import encode_notice
from infra.adapters.event_store import Record
from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Schema, components, problems, reference
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import QueryReader, position
from infra.adapters.web_request import Answer, Request
from infra.engines.projector import to_envelope
from read_side.cursor import CURSOR, CursorUnknown, read_cursor, write_cursor
from read_side.events import CLOUD_EVENT
from read_side.queries import QUERY_PARAMETERS, PositionNotReached, Queries, answer, found, min_position_of, page_schema
from read_side.runs import RUNS, RunUnknown

PATH = "/v1/runs/{run_id}/lifecycle"
PLACES_MAX = 50
READ_EVENTS_MIN, READ_EVENTS_MAX = 50, 500
SCAN_EVENTS_MAX = 5_000
PAGE_BYTES_MAX = 8_388_608
TYPES = sorted(event.type for event in TOLD_OF)
AFTER = position("after", "query", "Only what follows from events after this position.")


class Place(NamedTuple):
    """Where a page ended: behind what is told of the event at a position; with a `number`, behind so many of these things."""

    tenant_id: str
    run_id: str
    position: int = 0
    number: int = 0


@dataclass
class Reading:
    """A run read up to a position; `left` is what is told of the event there and no page had room for, from the `number`th on."""

    state: RunLifecycle = field(default_factory=RunLifecycle)
    position: int = 0
    left: tuple[bytes, ...] = ()
    number: int = 0

    def copy(self) -> "Reading":
        return Reading(self.state.copy(), self.position, self.left, self.number)


class RunLifecycles:
    """Answers for every run."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._log = queries.log
        self._reader = QueryReader((AFTER, queries.limit, CURSOR))
        self._places: OrderedDict[Place, Reading] = OrderedDict()

    def routes(self) -> list[Route]:
        operation = Operation(
            "list_run_lifecycle",
            "runs",
            "What happened to one run and its tasks, as lifecycle events of the Open Workflow Specification, oldest first",
            found("A page of lifecycle events.", page_schema(reference("LifecycleEvent")))
            | problems(400, 404, 409, 422, 500, 503),
            (RUNS.id_parameter, *self._reader.parameters, *QUERY_PARAMETERS),
            description=(
                "`next_cursor` is null at the end of the run's history as it is now; what comes later is found with `after` and the "
                "`position` of the last event. A page may be shorter than `limit`."
            ),
        )
        return [Route("GET", PATH, self._page, operation)]

    async def _page(self, request: Request) -> Answer:
        tenant_id, run_id = tenant_of(request), str(RUNS.id_parameter.read(request.parameter))
        given = self._reader.read(request.query)
        limit, after = given.get("limit", self._queries.settings.page_size_default), given.get("after", 0)
        filters: dict[str, str | int | bool] = {"run_id": run_id, "after": after}
        place = Place(tenant_id, run_id, after)
        if "cursor" in given:
            at, number = read_cursor(given["cursor"], PATH, tenant_id, filters, (int, int))
            place = Place(tenant_id, run_id, int(at), int(number))
        head, least = await self._log.head(), min_position_of(request)
        if least > head:
            raise PositionNotReached(f"The log is at position {head}, not at {least} yet.", position=head)
        reading = await self._reading_at(place, head)
        documents, ended = await self._next(reading, place, limit, head)
        following = None
        if not ended:
            place = Place(tenant_id, run_id, reading.position, reading.number)
            following = write_cursor(PATH, tenant_id, filters, (place.position, place.number))
        if place.position <= head:
            # Of what is behind a place still to come nothing is known yet, and later it would be missing.
            self._remember(place if following else place._replace(position=reading.position, number=0), reading)
        body = b'{"data":[%b],"next_cursor":%b}' % (b",".join(documents), orjson.dumps(following))
        return answer(body, head if ended else reading.position)

    def _remember(self, place: Place, reading: Reading) -> None:
        self._places[place] = reading
        self._places.move_to_end(place)
        if len(self._places) > PLACES_MAX:
            self._places.popitem(last=False)

    async def _reading_at(self, place: Place, head: int) -> Reading:
        """The run up to a place. Raises RunUnknown, and CursorUnknown if no page can have ended there."""
        known = self._places.get(place)
        if known is not None:
            self._places.move_to_end(place)
            return known.copy()
        if not await self._log.read(0, 1, tenant_id=place.tenant_id, stream_id=f"run-{place.run_id}", until=head):
            raise RunUnknown(f"There is no run {place.run_id}.")
        reading = Reading()
        last: tuple[Record, Sequence[LifecycleEvent]] | None = None
        async for each in self._told(reading, place, min(place.position, head)):
            last = each
        reading.position = place.position
        if place.number:
            if last is None or last[0].position != place.position or place.number >= len(last[1]):
                raise CursorUnknown
            reading.left, reading.number = tuple(self._documents(*last)[place.number :]), place.number
        return reading

    async def _next(self, reading: Reading, place: Place, limit: int, head: int) -> tuple[list[bytes], bool]:
        """Up to `limit` things that are told from there on, and whether that is all; `reading` moves on."""
        documents: list[bytes] = []
        size = scanned = 0
        _take(reading, documents, limit)
        if reading.left or len(documents) >= limit:
            return documents, False
        async for record, events in self._told(reading, place, head):
            reading.left, reading.number = tuple(self._documents(record, events)), 0
            _take(reading, documents, limit)
            size += sum(map(len, documents[-len(events) :])) if events else 0
            scanned += 1
            if len(documents) >= limit or size >= PAGE_BYTES_MAX or scanned >= SCAN_EVENTS_MAX:
                return documents, False
        return documents, True

    async def _told(
        self, reading: Reading, place: Place, until: int
    ) -> AsyncGenerator[tuple[Record, Sequence[LifecycleEvent]], None]:
        """What is told of each event of the run up to a position; `reading` is there when it is given."""
        size, complete = READ_EVENTS_MIN, False
        while not complete and reading.position < until:
            records = await self._log.read(
                reading.position,
                size,
                tenant_id=place.tenant_id,
                types=TYPES,
                stream_id=f"run-{place.run_id}",
                until=until,
            )
            for record in records:
                reading.position = record.position
                yield record, reading.state.tell(to_envelope(record, CATALOG))
            complete = len(records) < size and records.complete
            size = min(2 * size, READ_EVENTS_MAX)

    def _documents(self, record: Record, events: Sequence[LifecycleEvent]) -> list[bytes]:
        return [
            encode_notice(record, number, event.type, event.to_json(), self._log.shard)
            for number, event in enumerate(events, 1)
        ]


def _take(reading: Reading, documents: list[bytes], limit: int) -> None:
    """Put what is left on the page, as far as there is room."""
    taken = reading.left[: limit - len(documents)]
    documents.extend(taken)
    reading.left = reading.left[len(taken) :]
    reading.number = reading.number + len(taken) if reading.left else 0


def lifecycle_schemas() -> dict[str, Any]:
    """What the document says of these events."""
    own = ("specversion", "id", "source", "time", "subject", "datacontenttype", "position", "tenantid", "streamversion")
    known = {name: CLOUD_EVENT["properties"][name] for name in (*own, "causationid", "correlationid", "traceparent")}
    told: Schema = {
        "type": "object",
        "description": (
            "A lifecycle event of the Open Workflow Specification as a CloudEvents 1.0 JSON document. It follows from the event of the log "
            "at `position`, whose id is `causationid`."
        ),
        "required": [*own, "causationid", "type", "data"],
        "properties": {
            **known,
            "id": {"type": "string", "pattern": "^[0-9a-f-]{36}/[1-9][0-9]*$"},
            "type": {"enum": [event.type for event in LIFECYCLE]},
            "data": {"anyOf": [reference(event.__name__) for event in LIFECYCLE]},
        },
    }
    return {**components(LIFECYCLE, "validation"), "LifecycleEvent": told}
