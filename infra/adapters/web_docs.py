"""The OpenAPI 3.1 document of an HTTP API, written from the routes and the pydantic models themselves, and a page to read it on.

Guarantee: the document says what the API takes and answers, no more and no less; schemathesis holds it to that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from infra.adapters.problem import RETRY_AFTER_S, TYPE_ROOT
from infra.adapters.web_parameters import Parameter

Schema = Mapping[str, Any]

# Not a pattern of its own: generators of data join a pattern with maxLength, which gets too large for some of them.
_WITHOUT_NUL: Schema = {"not": {"pattern": r"\u0000"}}
PROBLEM_JSON = "application/problem+json"
_SCHEMAS = "#/components/schemas/"
_TITLES = {
    400: "Malformed.",
    404: "There is no such thing.",
    409: "Refused by the rules, or the stream has moved on.",
    413: "Too large.",
    415: "Not a media type that is taken here.",
    422: "Not as it should be; `errors` says where.",
    500: "Something went wrong inside; repeat with the same command id.",
    503: "Cannot be done at the moment; try again.",
    504: "The read model has not seen that position in time; ask again.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer that an operation gives."""

    description: str
    schema: Schema
    content_type: str = "application/json"
    headers: Mapping[str, Schema] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "description": self.description,
            "content": {self.content_type: {"schema": self.schema}},
        }
        if self.headers:
            document["headers"] = {name: {"required": True, "schema": schema} for name, schema in self.headers.items()}
        return document


@dataclass(frozen=True, slots=True)
class Operation:
    """What the document says of a route. `body` is the schema by media type, `replies` the answers by status."""

    id: str
    tag: str
    summary: str
    replies: Mapping[int, Reply]
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Schema] | None = None
    body_required: bool = True
    description: str = ""

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"operationId": self.id, "tags": [self.tag], "summary": self.summary}
        if self.description:
            document["description"] = self.description
        if self.parameters:
            document["parameters"] = [_parameter(parameter) for parameter in self.parameters]
        if self.body is not None:
            content = {media_type: {"schema": schema} for media_type, schema in self.body.items()}
            document["requestBody"] = {"required": self.body_required, "content": content}
        document["responses"] = {str(status): reply.document() for status, reply in sorted(self.replies.items())}
        return document


class Documented(Protocol):
    """A route, as far as the document is concerned."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def operation(self) -> Operation | None: ...


def reference(name: str) -> dict[str, str]:
    """A schema of the document's components, by its name."""
    return {"$ref": _SCHEMAS + name}


def problems(*statuses: int) -> dict[int, Reply]:
    """The answers that are problem documents."""
    retry_after = {"Retry-After": {"type": "integer", "const": RETRY_AFTER_S}}
    return {
        status: Reply(_TITLES[status], reference("Problem"), PROBLEM_JSON, retry_after if status > 500 else {})
        for status in statuses
    }


def components(models: Iterable[type[BaseModel]], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    """The schemas of models and of all that they refer to, by name."""
    _, found = models_json_schema(
        [(model, mode) for model in models], ref_template=_SCHEMAS + "{model}", schema_generator=_Exact
    )
    schemas: dict[str, Any] = found.get("$defs", {})
    if mode == "validation" and "JsonValue" in schemas:
        schemas["JsonValue"] = _JSON_VALUE
    return schemas


def document(title: str, description: str, routes: Iterable[Documented], schemas: Schema) -> bytes:
    """The document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.operation is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = route.operation.document()
    whole = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": description},
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM_SCHEMA, **schemas}},
    }
    return orjson.dumps(whole)


def page(title: str) -> bytes:
    """The page that shows the document: Swagger UI, as FastAPI serves it."""
    # Imported here since it takes half a second, and most processes are never asked for the page.
    from fastapi.openapi.docs import get_swagger_ui_html

    return bytes(get_swagger_ui_html(openapi_url="/openapi.json", title=title).body)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: Schema = parameter.schema
    if parameter.repeated:
        schema = {"type": "array", "items": schema, "minItems": 1}
    described = {"name": parameter.name, "in": parameter.where, "description": parameter.description, "schema": schema}
    return {**described, "required": True} if parameter.where == "path" else described


class _Exact(GenerateJsonSchema):
    """pydantic's schemas, with what validation refuses beyond them: NUL, blank names and keys that match no pattern."""

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        found = super().str_schema(schema)
        if self.mode == "validation" and "pattern" not in found:
            found.update(_WITHOUT_NUL)
            if schema.get("strip_whitespace") and schema.get("min_length"):
                found["pattern"] = r"\S"
        return found

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        keys = self.generate_inner(schema.get("keys_schema", core_schema.str_schema()))
        if self.mode == "validation":
            keys.pop("type", None)
            values = next(iter(found.pop("patternProperties", {}).values()), found.get("additionalProperties", True))
            found |= {"propertyNames": keys, "additionalProperties": values}
        return found


_TEXT = {"type": "string", **_WITHOUT_NUL}
_JSON_VALUE: Schema = {
    "description": "Any JSON value without NUL characters, nested up to 32 levels; whole numbers have 64 bits at most.",
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
        _TEXT,
        {"type": "array", "items": reference("JsonValue")},
        {"type": "object", "propertyNames": _WITHOUT_NUL, "additionalProperties": reference("JsonValue")},
    ],
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "A problem document of RFC 9457. What it is about may come beside these members.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": f"^{TYPE_ROOT}[a-z0-9-]+$"},
        "title": {"type": "string", "minLength": 1},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body (RFC 6901)."},
                    "parameter": {"type": "string", "description": "The parameter's name."},
                    "in": {"enum": ["path", "query", "header"]},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
