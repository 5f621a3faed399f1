"""What the handshake of a WebSocket says: its address, and the query and headers that AsyncAPI's WebSocket binding describes.

The binding (https://github.com/asyncapi/bindings, websockets 0.1.0) has a schema for each, whose properties are names. A name has the value
that the call's `server.variables` give it, or else the one that its schema leaves: `const`, `default`, or all that `enum` has.
"""

import re
from collections.abc import Iterator, Mapping

import httpx

from infra.calls.asyncapi_document import Channel
from infra.calls.contract import Arguments, CallFailed, plain
from infra.calls.document_nodes import node_of, nodes_of, resolved
from infra.calls.http_call import HttpRequest

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OF_THE_PROTOCOL = "sec-websocket-"
_SUBPROTOCOL = "sec-websocket-protocol"


def handshake_of(channel: Channel, headers: Mapping[str, str], policy: Arguments) -> HttpRequest:
    """The handshake with a channel; `headers` are those of a message that is published, which go before those of the binding.

    CallFailed("configuration") if something that the binding requires has no value, a value is none of its `enum`, or the handshake cannot
    be made like this.
    """
    if plain(channel.binding.get("method")).upper() not in {"", "GET"}:
        raise CallFailed("configuration", "The handshake of a WebSocket is a GET, whatever the channel's binding says.")
    said = {name.lower(): value for name, value in _values(channel, "headers", headers)}
    for name, value in said.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise CallFailed("configuration", f"The header {name[:100]!r} cannot be sent.")
        if name.startswith(_OF_THE_PROTOCOL) and name != _SUBPROTOCOL:
            raise CallFailed("configuration", f"The header {name[:100]!r} cannot be set by a call.")
    return HttpRequest("GET", _url(channel), said, tuple(_values(channel, "query", {})), None, policy)


def _values(channel: Channel, part: str, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and values of the headers or the query: those that are given, and those of the binding that are not."""
    schema = resolved(channel.document, channel.binding.get(part))
    properties, required = node_of(schema.get("properties")), nodes_of(schema.get("required"))
    left = {name.lower(): (name, value) for name, value in given.items()}
    for name, node in properties.items():
        described = resolved(channel.document, node)
        allowed = [plain(each) for each in nodes_of(described.get("enum"))]
        only = allowed[0] if len(allowed) == 1 else None
        value = left.pop(name.lower(), (name, None))[1]
        found = channel.variables.get(name) if value is None else value
        if found is None:
            found = described.get("const", described.get("default", only))
        if found is None and name in required:
            raise CallFailed("configuration", f"The channel's binding requires {name[:100]!r}, which has no value.")
        if found is not None and allowed and plain(found) not in allowed:
            raise CallFailed("configuration", f"The channel's binding does not allow this value of {name[:100]!r}.")
        if found is not None:
            yield name, plain(found)
    if left and schema.get("additionalProperties") is False:
        raise CallFailed("configuration", f"The channel's binding knows no {next(iter(left))[:100]!r}.")
    yield from left.values()


def _url(channel: Channel) -> httpx.URL:
    path = f"{channel.path.rstrip('/')}/{channel.address.removeprefix('/')}"
    try:
        url = httpx.URL(f"{'wss' if channel.tls else 'ws'}://{channel.host}:{channel.port}{path}")
    except (httpx.InvalidURL, UnicodeError) as wrong:
        raise CallFailed("configuration", f"The server and the channel make no address: {wrong}") from wrong
    if not url.host:
        raise CallFailed("configuration", "The document's server has no address that can be connected to.")
    return url
