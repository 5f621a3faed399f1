"""A read model as lists and single rows over HTTP: filters, keyset cursors and the schema, all from one declaration and the row class."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import orjson

from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Schema, problems, reference
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import ID_PATTERN, POSITION_MAX, TEXT_PATTERN, Parameter, QueryReader
from infra.adapters.web_request import Answer, Request
from infra.errors import NotFound
from infra.patterns.projection import Projection, Row
from read_side.cursor import CURSOR, read_cursor, write_cursor
from read_side.queries import QUERY_PARAMETERS, Queries, answer, found, page_schema

R = TypeVar("R", bound=Row)

FILTER_CHARACTERS_MAX = 200


@dataclass(frozen=True)
class Listing(Generic[R]):
    """Rows of a read model at `/v1/<name>`, one of them at `/v1/<name>/{id}`. A row is equal to every filter that is given.

    With `below`, the rows are those of one entity, in the order of the rest of the key: `/v1/<name>/{id}/<below>`.
    """

    name: str
    projection: Projection[R]
    unknown: type[NotFound]
    filters: tuple[str, ...] = ()
    below: str = ""

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
        return self.projection.key[2:] if self.below else self.projection.key[1:]

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
        listing = Operation(
            f"list_{self.name}", self.name, f"The {self.name} of a tenant, page by page", replies, parameters
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
        self.reader = QueryReader((*filters, queries.limit, CURSOR))
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
        seen = await self._queries.seen([projection.name], request)
        row = await self._queries.models.get(projection, (tenant_id, entity_id))
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
        seen = await self._queries.seen([listing.projection.name], request)
        rows = await self._queries.models.page(listing.projection, tenant_id, filters, listing.order, after, limit + 1)
        if not rows and after is None and or_unknown:
            raise listing.unknown
        following = None
        if len(rows) > limit:
            rows = rows[:limit]
            key = tuple(getattr(rows[-1], column) for column in listing.order)
            following = write_cursor(name, tenant_id, filters, key)
        body = b'{"data":[%b],"next_cursor":%b}' % (b",".join(map(_dump, rows)), orjson.dumps(following))
        return answer(body, seen)


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
        schema = {"type": "string", "pattern": TEXT_PATTERN, "maxLength": FILTER_CHARACTERS_MAX}
    return Parameter(name, "query", schema, f"Only those whose `{name}` is this.")


def _choices(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _plain(annotation: Any) -> type:
    """The type of a plain column, without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(_plain(part) for part in get_args(annotation) if part is not type(None))
    return annotation if isinstance(annotation, type) else str
