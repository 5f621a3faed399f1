"""A read model as lists and single rows over HTTP: filters, keyset cursors and the schema, all from one declaration and the row class."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import orjson

from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Schema, problems, reference
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import ID_PATTERN, POSITION_MAX, TEXT_PATTERN, Parameter, QueryReader
from infra.adapters.web_request import Answer, Request
from infra.errors import NotFound
from infra.patterns.projection import Key, Projection, Row
from read_side.cursor import CURSOR, Filters, read_cursor, write_cursor
from read_side.queries import QUERY_PARAMETERS, Queries, answer, found, page_schema

R = TypeVar("R", bound=Row)
E = TypeVar("E", bound=Row)

FILTER_CHARACTERS_MAX = 200
_ANY_TEXT: Schema = {"type": "string", "pattern": TEXT_PATTERN, "maxLength": FILTER_CHARACTERS_MAX}
LABEL = Parameter(
    "label",
    "query",
    {"type": "string", "pattern": r"^[^:\x00]+:[^\x00]*$", "maxLength": 2 * FILTER_CHARACTERS_MAX},
    "Only those with this label: its name, which has no colon, a colon and its value.",
)


@dataclass(frozen=True)
class Whole(Generic[R, E]):
    """The entity that rows are below: it may have no rows yet, and `show(row, entity)` is how a row looks, knowing it.

    `position_of(entity)` is that of the last event which the entity knows of.
    """

    projection: Projection[E]
    show: Callable[[R, E], R]
    position_of: Callable[[E], int]


@dataclass(frozen=True)
class Listing(Generic[R]):
    """Rows of a read model at `/v1/<name>`, one of them at `/v1/<name>/{id}`. A row is equal to every filter that is given.

    `holding` are filters for a text that a list column holds: the column by the filter's name, for example `{"person": "people"}`.
    With `below`, the rows are those of one entity, in the order of the rest of the key: `/v1/<name>/{id}/<below>`; `whole` is that
    entity, if they depend on it. `newest_first_by` or `oldest_first_by` is a position that no two rows share; without either a list
    is in the order of the ids.
    `labelled` rows have `labels`, and can be filtered by one of them.
    """

    name: str
    projection: Projection[R]
    unknown: type[NotFound]
    filters: tuple[str, ...] = ()
    holding: Mapping[str, str] = field(default_factory=dict)
    below: str = ""
    whole: Whole[R, Any] | None = None
    newest_first_by: str = ""
    oldest_first_by: str = ""
    labelled: bool = False

    @property
    def noun(self) -> str:
        return self.name.removesuffix("s")

    @property
    def id_parameter(self) -> Parameter:
        schema = {"type": "string", "pattern": ID_PATTERN}
        return Parameter(self.projection.key[1], "path", schema, f"The id of the {self.noun}.")

    @property
    def path(self) -> str:
        return f"/v1/{self.name}" + (f"/{{{self.projection.key[1]}}}/{self.below}" if self.below else "")

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which a page follows another."""
        if first_by := self.newest_first_by or self.oldest_first_by:
            return (first_by,)
        return self.projection.key[2:] if self.below else self.projection.key[1:]

    @property
    def models(self) -> list[str]:
        """The read models that an answer is made of."""
        return [self.projection.name, *([self.whole.projection.name] if self.whole else ())]

    def routes(self, queries: Queries) -> list[Route]:
        pages = _Pages(self, queries)
        row = reference(self.projection.row.__name__)
        parameters = (*pages.reader.parameters, *QUERY_PARAMETERS)
        if self.below:
            replies = found(f"A page of the {self.noun}'s {self.below}.", page_schema(row)) | problems(
                400, 404, 409, 422, 500, 503, 504
            )
            operation = Operation(
                f"list_{self.noun}_{self.below}",
                self.name,
                f"The {self.below} of one {self.noun}, oldest first",
                replies,
                (self.id_parameter, *parameters),
            )
            return [Route("GET", self.path, pages.list_of_one, operation)]
        replies = found(f"A page of {self.name}.", page_schema(row)) | problems(400, 404, 409, 422, 500, 503, 504)
        order = "newest first" if self.newest_first_by else "page by page"
        listing = Operation(
            f"list_{self.name}", self.name, f"The {self.name} of a tenant, {order}", replies, parameters
        )
        replies = found(f"The {self.noun}.", row) | problems(400, 404, 409, 422, 500, 503, 504)
        single = Operation(
            f"get_{self.noun}", self.name, f"One {self.noun}", replies, (self.id_parameter, *QUERY_PARAMETERS)
        )
        return [
            Route("GET", self.path, pages.list, listing),
            Route("GET", f"{self.path}/{{{self.projection.key[1]}}}", pages.get, single),
        ]


class _Pages(Generic[R]):
    """Answers for one listing."""

    def __init__(self, listing: Listing[R], queries: Queries) -> None:
        fields = listing.projection.row.model_fields
        self._listing = listing
        self._queries = queries
        self._id = listing.id_parameter
        self._kinds = [_plain(fields[column].annotation) for column in listing.order]
        filters = [filter_parameter(name, fields[name].annotation) for name in listing.filters]
        holding = [_holding_parameter(name, column) for name, column in listing.holding.items()]
        labels = [LABEL] if listing.labelled else []
        self.reader = QueryReader((*filters, *holding, *labels, queries.limit, CURSOR))
        self._nothing = QueryReader(())

    async def list(self, request: Request) -> Answer:
        return await self._page(request, {})

    async def list_of_one(self, request: Request) -> Answer:
        """404 rather than an empty first page."""
        return await self._page(request, {self._id.name: str(self._id.read(request.parameter))}, or_unknown=True)

    async def get(self, request: Request) -> Answer:
        tenant_id, entity_id = tenant_of(request), str(self._id.read(request.parameter))
        self._nothing.read(request.query)
        projection = self._listing.projection
        models, key = self._queries.models, (tenant_id, entity_id)
        row, seen = await self._queries.read([projection.name], request, lambda: models.get(projection, key))
        if row is None:
            raise self._listing.unknown(f"There is no {self._listing.noun} {entity_id}.")
        return answer(_dump(row), seen)

    async def _page(
        self, request: Request, equals: Mapping[str, str | int | bool], *, or_unknown: bool = False
    ) -> Answer:
        tenant_id, listing = tenant_of(request), self._listing
        given = self.reader.read(request.query)
        limit = given.pop("limit", self._queries.settings.page_size_default)
        cursor = given.pop("cursor", None)
        filters = {**given, **equals}
        name = listing.path
        after = None if cursor is None else read_cursor(cursor, name, tenant_id, filters, self._kinds)

        async def ask() -> tuple[Sequence[R], Row | None, Callable[[R], R]]:
            # First the whole: what is read after it is as new, if its model had come as far.
            entity = await self._whole(tenant_id, equals)
            shown = await self._shown(entity)
            return await self._rows(tenant_id, filters, after, limit + 1), entity, shown

        (rows, entity, shown), seen = await self._queries.read(listing.models, request, ask)
        if or_unknown and entity is None and not rows and after is None:
            raise listing.unknown
        following = None
        if len(rows) > limit:
            rows = rows[:limit]
            key = tuple(getattr(rows[-1], column) for column in listing.order)
            following = write_cursor(name, tenant_id, filters, key)
        data = b",".join([_dump(shown(row)) for row in rows])
        body = b'{"data":[%b],"next_cursor":%b}' % (data, orjson.dumps(following))
        return answer(body, seen)

    async def _rows(self, tenant_id: str, filters: Filters, after: Key | None, limit: int) -> Sequence[R]:
        listing = self._listing
        equal = {name: value for name, value in filters.items() if name not in (*listing.holding, LABEL.name)}
        contains = {column: str(filters[name]) for name, column in listing.holding.items() if name in filters}
        members = {}
        if LABEL.name in filters:
            label, _, text = str(filters[LABEL.name]).partition(":")
            members["labels"] = (label, text)
        return await self._queries.models.page(
            listing.projection,
            tenant_id,
            equal,
            listing.order,
            after,
            limit,
            contains,
            members,
            descending=bool(listing.newest_first_by),
        )

    async def _whole(self, tenant_id: str, equals: Filters) -> Row | None:
        """The entity that the rows are below, if they depend on it."""
        whole = self._listing.whole
        if whole is None:
            return None
        return await self._queries.models.get(whole.projection, (tenant_id, str(equals[self._id.name])))

    async def _shown(self, entity: Row | None) -> Callable[[R], R]:
        """How rows look that are read from now on: as they are, where they may not know yet what their entity knows."""
        whole = self._listing.whole
        if whole is None or entity is None:
            return _as_it_is
        if not await self._queries.is_there(self._listing.projection.name, whole.position_of(entity)):
            return _as_it_is
        return lambda row: whole.show(row, entity)


def _as_it_is(row: R) -> R:
    return row


def _dump(row: Row) -> bytes:
    return row.__pydantic_serializer__.to_json(row)


def filter_parameter(name: str, annotation: Any) -> Parameter:
    """The query parameter that filters by a field: one of its choices, a truth value, a whole number, or a text."""
    choices = _choices(annotation)
    plain = _plain(annotation)
    schema: Schema
    if choices:
        schema = {"type": "string", "enum": list(choices)}
    elif plain is bool:
        schema = {"type": "boolean"}
    elif plain is int:
        schema = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}
    else:
        schema = _ANY_TEXT
    return Parameter(name, "query", schema, f"Only those whose `{name}` is this.")


def _holding_parameter(name: str, column: str) -> Parameter:
    return Parameter(name, "query", _ANY_TEXT, f"Only those whose `{column}` hold this.")


def _choices(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _plain(annotation: Any) -> type:
    """The type of a plain column, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(_plain(part) for part in get_args(annotation) if part is not type(None))
    return annotation if isinstance(annotation, type) else str
