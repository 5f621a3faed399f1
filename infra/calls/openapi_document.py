"""An operation in an OpenAPI document (Swagger 2.0, OpenAPI 3.0 and 3.1): where it is, what it takes, how its parameters are written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import httpx
import orjson
from pydantic import JsonValue

from infra.calls.contract import CallFailed, plain
from infra.calls.document_nodes import Node, node_of, nodes_of, resolved
from infra.calls.exchange import url_of

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_IGNORED_HEADERS = {"accept", "content-type", "authorization"}
_DELIMITERS = {
    "csv": ",",
    "ssv": " ",
    "tsv": "\t",
    "pipes": "|",
    "form": ",",
    "spaceDelimited": " ",
    "pipeDelimited": "|",
}

Place = Literal["path", "query", "header", "cookie", "formData", "body"]
_PLACES = {"path", "query", "header", "cookie", "formData", "body"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter. `style` and `explode` are OpenAPI 3's words for it; `as_json` if it is written as a JSON text."""

    name: str
    place: Place
    required: bool
    style: str
    explode: bool
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a call needs to know of an operation. `body_types` are the media types of its request body, none if it takes none."""

    method: str
    base: httpx.URL
    path: str
    parameters: tuple[Parameter, ...]
    body_types: tuple[str, ...]
    body_required: bool


def find_operation(document: Node, operation_id: str, source: httpx.URL) -> Operation:
    """The operation of that id; `source` is where the document was fetched, which relative servers refer to.

    CallFailed("configuration") if there is none, or the document is none of OpenAPI.
    """
    version = plain(document.get("swagger") or document.get("openapi"))
    if not version.startswith(("2.", "3.0", "3.1")):
        raise CallFailed("configuration", "The document is neither Swagger 2.0 nor OpenAPI 3.0 or 3.1.")
    for path, item in node_of(document.get("paths")).items():
        shared = resolved(document, item)
        for method in METHODS:
            operation = node_of(shared.get(method))
            if operation.get("operationId") == operation_id:
                return _operation(document, source, path, method, shared, operation)
    raise CallFailed("configuration", f"The document has no operation {operation_id[:200]!r}.")


def _operation(document: Node, source: httpx.URL, path: str, method: str, shared: Node, operation: Node) -> Operation:
    old = "swagger" in document
    declared: dict[tuple[str, str], Parameter] = {}
    for holder in (shared, operation):
        for given in nodes_of(holder.get("parameters")):
            parameter = _parameter(resolved(document, given), old)
            if parameter.place == "header" and not old and parameter.name.lower() in _IGNORED_HEADERS:
                continue
            declared[parameter.name, parameter.place] = parameter
    parameters = tuple(declared.values())
    if old:
        base = _old_base(document, source, operation)
        types = tuple(_texts(operation.get("consumes") or document.get("consumes"))) or ("application/json",)
        places = {parameter.place: parameter for parameter in parameters}
        if "formData" in places:
            types = tuple(each for each in types if "form" in each) or ("application/x-www-form-urlencoded",)
        takes = "formData" in places or "body" in places
        required = "body" in places and places["body"].required
        return Operation(method, base, path, parameters, types if takes else (), required)
    body = resolved(document, operation.get("requestBody"))
    servers = operation.get("servers") or shared.get("servers") or document.get("servers")
    base = _server(next(iter(nodes_of(servers)), None), source)
    return Operation(method, base, path, parameters, tuple(node_of(body.get("content"))), body.get("required") is True)


def _parameter(given: Node, old: bool) -> Parameter:
    name, place = plain(given.get("name")), given.get("in")
    if place not in _PLACES:
        raise CallFailed("configuration", f"The document puts the parameter {name[:100]!r} where none can be.")
    style = given.get("collectionFormat", "csv") if old else given.get("style")
    if style is None:
        style = "form" if place in {"query", "cookie"} else "simple"
    explode = style == "multi" if old else given.get("explode", style == "form")
    required = given.get("required") is True or place == "path"
    return Parameter(name, place, required, plain(style), explode is True, "content" in given)  # type: ignore[arg-type]  # in _PLACES


def _old_base(document: Node, source: httpx.URL, operation: Node) -> httpx.URL:
    schemes = _texts(operation.get("schemes") or document.get("schemes")) or [source.scheme]
    scheme = next((each for each in (source.scheme, "https", "http") if each in schemes), schemes[0])
    host = plain(document.get("host")) or source.netloc.decode()
    return url_of(f"{scheme}://{host}{plain(document.get('basePath'))}")


def _server(server: JsonValue, source: httpx.URL) -> httpx.URL:
    node = node_of(server)
    url = plain(node.get("url")) or "/"
    for name, variable in node_of(node.get("variables")).items():
        url = url.replace(f"{{{name}}}", plain(node_of(variable).get("default")))
    try:
        return source.join(url)
    except httpx.InvalidURL as wrong:
        raise CallFailed("configuration", "The document's server is no URL.") from wrong


def _texts(value: JsonValue) -> list[str]:
    return [each for each in nodes_of(value) if isinstance(each, str)]


def in_path(parameter: Parameter, value: JsonValue) -> str:
    """A value as it stands in a path, in the style `simple`."""
    if parameter.style not in {"simple", "csv"}:
        raise CallFailed(
            "configuration", f"The path style {parameter.style[:40]!r} of {parameter.name!r} is not supported."
        )
    written = ",".join(quote(part, safe="=") for part in _simple(parameter, value))
    if written in {"", ".", ".."}:
        raise CallFailed("validation", f"The parameter {parameter.name!r} makes no part of a path.")
    return written


def in_header(parameter: Parameter, value: JsonValue) -> str:
    """A value as it stands in a header."""
    return ",".join(_simple(parameter, value))


def in_query(parameter: Parameter, value: JsonValue) -> Iterator[tuple[str, str]]:
    """A value as names and values of a query, a cookie or a form."""
    if parameter.as_json:
        yield parameter.name, orjson.dumps(value).decode()
    elif isinstance(value, dict) and parameter.style == "deepObject":
        yield from ((f"{parameter.name}[{name}]", plain(inner)) for name, inner in value.items())
    elif isinstance(value, dict) and parameter.explode:
        yield from ((name, plain(inner)) for name, inner in value.items())
    elif isinstance(value, list) and parameter.explode:
        yield from ((parameter.name, plain(each)) for each in value)
    elif isinstance(value, list | dict):
        delimiter = _DELIMITERS.get(parameter.style)
        if delimiter is None:
            raise CallFailed(
                "configuration", f"The style {parameter.style[:40]!r} of {parameter.name!r} is not supported."
            )
        yield parameter.name, delimiter.join(_flat(value))
    else:
        yield parameter.name, plain(value)


def _simple(parameter: Parameter, value: JsonValue) -> list[str]:
    if parameter.as_json:
        return [orjson.dumps(value).decode()]
    if isinstance(value, dict) and parameter.explode:
        return [f"{name}={plain(inner)}" for name, inner in value.items()]
    return _flat(value)


def _flat(value: JsonValue) -> list[str]:
    if isinstance(value, dict):
        return [part for name, inner in value.items() for part in (name, plain(inner))]
    return [plain(each) for each in value] if isinstance(value, list) else [plain(value)]
