"""`call: openapi`: an operation of an OpenAPI document, by its id."""

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed, endpoint_of, map_of, text_of
from infra.calls.documents import fetch_document
from infra.calls.exchange import url_of
from infra.calls.http_call import HttpRequest, is_json, send_for_output
from infra.calls.openapi_document import Operation, find_operation, in_header, in_path, in_query

_ACCEPT = "application/json, */*;q=0.8"


async def openapi_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: openapi`: fetch the document, write the parameters where it says, and go on as `call: http`.

    Parameters go by their names alone: one that the document declares in several places goes to all of them. Those that it does not
    declare are the fields of the request body, unless `body` is given: that is the whole of it.
    CallFailed: validation for a parameter that is missing or that the operation does not take, configuration for an unknown operation;
    the others as `call: http`.
    """
    resource = map_of(arguments, "document")
    document: Mapping[str, JsonValue] = await fetch_document(resource, context)  # type: ignore[assignment]  # it was read from JSON
    source = url_of(endpoint_of(resource.get("endpoint"))[0])
    operation = find_operation(document, text_of(arguments, "operationId"), source)
    request = _request(operation, map_of(arguments, "parameters"), map_of(arguments, "authentication"))
    return await send_for_output(request, arguments, context)


def _request(operation: Operation, given: Arguments, policy: Arguments) -> HttpRequest:
    path, headers = operation.path, {"Accept": _ACCEPT}
    query: list[tuple[str, str]] = []
    cookies: list[tuple[str, str]] = []
    form: list[tuple[str, str]] = []
    body: JsonValue = None
    left = dict(given)
    for parameter in operation.parameters:
        value = given.get(parameter.name)
        left.pop(parameter.name, None)
        if parameter.place == "body" and value is None:
            value = left.pop("body", None) if "body" in left else _fields(left)
        if value is None:
            if parameter.required:
                raise CallFailed("validation", f"The parameter {parameter.name!r} is required.")
            continue
        match parameter.place:
            case "path":
                path = path.replace(f"{{{parameter.name}}}", in_path(parameter, value))
            case "query":
                query.extend(in_query(parameter, value))
            case "header":
                headers[parameter.name] = in_header(parameter, value)
            case "cookie":
                cookies.extend(in_query(parameter, value))
            case "formData":
                form.extend(in_query(parameter, value))
            case "body":
                body = value
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={quote(value)}" for name, value in cookies)
    if operation.body_types and body is None:
        body = _joined(form) if form else left.pop("body") if "body" in left else _fields(left)
    if left:
        raise CallFailed("validation", f"The operation takes no parameter {min(left)[:100]!r}.")
    if body is None and operation.body_required:
        raise CallFailed("validation", "The operation needs a body.")
    if body is not None:
        headers["Content-Type"] = _media_type(operation.body_types)
    base = operation.base
    url = url_of(f"{base.copy_with(path=base.path.rstrip('/'), query=None)}{path}")
    return HttpRequest(operation.method, url, headers, tuple(query), body, policy or None)


def _fields(left: dict[str, JsonValue]) -> JsonValue:
    """What is left, as the fields of a body; none of it is left then."""
    fields: dict[str, JsonValue] = dict(left)
    left.clear()
    return fields or None


def _joined(pairs: list[tuple[str, str]]) -> JsonValue:
    joined: dict[str, JsonValue] = {}
    for name, value in pairs:
        before = joined.get(name)
        joined[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return joined


def _media_type(types: tuple[str, ...]) -> str:
    found = next(filter(is_json, types), types[0])
    return "application/json" if "*" in found else found
