"""Where an AsyncAPI document (2.x and 3.0) says that messages go: the server, the channel on it, and what is said of both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import JsonValue

from infra.calls.contract import Arguments, CallFailed, map_of, plain, text_of
from infra.calls.document_nodes import Node, node_of, nodes_of, resolved

_SECURE = "wss"
_WEBSOCKET = "ws"
# For each protocol of a server the schemes that its address may have: the port if it names none, and whether it is TLS.
_SCHEMES: Mapping[str, Mapping[str, tuple[int, bool]]] = MappingProxyType(
    {
        "nats": {"": (4222, False), "nats": (4222, False), "tls": (4222, True)},
        _WEBSOCKET: {"": (80, False), _WEBSOCKET: (80, False), _SECURE: (443, True)},
        _SECURE: {"": (443, True), _SECURE: (443, True)},
    }
)


@dataclass(frozen=True, slots=True)
class Channel:
    """A server and the channel on it. `protocol` is `nats` or `ws`, which is `wss` with `tls`; `address` is a subject or a path.

    `path` is that of the server. `binding` is what the document says of the channel and the operation for this protocol alone, in which
    references lead into `document`; `variables` are those that the call gives to the server. `correlations` say where in a message its
    correlation id is, as AsyncAPI writes it.
    """

    protocol: str
    host: str
    port: int
    tls: bool
    address: str
    path: str = ""
    binding: Node = field(default_factory=dict)
    document: Node = field(default_factory=dict)
    variables: Arguments = field(default_factory=dict)
    correlations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Described:
    """A channel and an operation on it as the document has them, and the names of the servers that have the channel."""

    address: str
    channel: Node
    operation: Node
    messages: list[JsonValue]
    servers: list[str]


def find_channel(document: Node, arguments: Arguments) -> Channel:
    """What `channel` (2.x) or `operation` (3.0), `server` and `protocol` of a call mean in a document.

    CallFailed("configuration") if the document does not have it, or the server speaks another protocol than NATS and WebSocket.
    """
    version = plain(document.get("asyncapi"))
    if version.startswith("2."):
        described = _of_version_2(document, arguments)
    elif version.startswith("3."):
        described = _of_version_3(document, arguments)
    else:
        raise CallFailed("configuration", "The document is neither AsyncAPI 2 nor 3.")
    if not described.address or "{" in described.address:
        raise CallFailed(
            "configuration", "The channel has no address, or one with parameters, which a call cannot give."
        )
    server = _server(document, described.servers, arguments)
    spoken, variables = plain(server.get("protocol")), map_of(map_of(arguments, "server"), "variables")
    host, port, tls, path = _address(server, spoken, variables)
    protocol = _WEBSOCKET if spoken == _SECURE else spoken
    binding: dict[str, JsonValue] = {}
    for holder in (described.channel, described.operation):
        binding |= resolved(document, resolved(document, holder.get("bindings")).get(protocol))
    correlations = tuple(dict.fromkeys(_correlations(document, described.messages)))
    address = described.address
    return Channel(protocol, host, port, tls, address, path, binding, document, variables, correlations)


def _of_version_2(document: Node, arguments: Arguments) -> _Described:
    name = text_of(arguments, "channel")
    channel = resolved(document, _found(node_of(document.get("channels")), name, "channel"))
    does = "publish" if arguments.get("message") is not None else "subscribe"
    operation = resolved(document, channel.get(does))
    message = resolved(document, operation.get("message"))
    messages = nodes_of(message.get("oneOf")) or [message]
    return _Described(name, channel, operation, messages, [plain(each) for each in nodes_of(channel.get("servers"))])


def _of_version_3(document: Node, arguments: Arguments) -> _Described:
    name = text_of(arguments, "operation")
    operation = resolved(document, _found(node_of(document.get("operations")), name, "operation"))
    channel = resolved(document, operation.get("channel"))
    messages = nodes_of(operation.get("messages")) or list(node_of(channel.get("messages")).values())
    servers = [plain(node_of(each).get("$ref")).rpartition("/")[2] for each in nodes_of(channel.get("servers"))]
    return _Described(plain(channel.get("address")), channel, operation, messages, servers)


def _correlations(document: Node, messages: list[JsonValue]) -> Iterator[str]:
    for message in messages:
        location = resolved(document, resolved(document, message).get("correlationId")).get("location")
        if isinstance(location, str):
            yield location


def _server(document: Node, named: list[str], arguments: Arguments) -> Node:
    servers = {name: resolved(document, node) for name, node in node_of(document.get("servers")).items()}
    wanted = map_of(arguments, "server")
    if wanted:
        name = text_of(wanted, "name")
        server = node_of(_found(servers, name, "server"))
    else:
        protocol = arguments.get("protocol")
        fitting = [servers[name] for name in named or servers if name in servers]
        if protocol is not None:
            # The language has no name of its own for what is WebSocket with TLS.
            meant = (_WEBSOCKET, _SECURE) if protocol == _WEBSOCKET else (protocol,)
            fitting = [server for server in fitting if server.get("protocol") in meant]
        if not fitting:
            raise CallFailed("configuration", "The document has no server that fits the channel and the protocol.")
        server = fitting[0]
    spoken = plain(server.get("protocol"))
    if spoken not in _SCHEMES:
        raise CallFailed("configuration", f"The server speaks {spoken[:40]!r}; only {', '.join(_SCHEMES)} are spoken.")
    return server


def _address(server: Node, protocol: str, variables: Arguments) -> tuple[str, int, bool, str]:
    """Host, port, whether it is TLS, and the path of a server."""
    place, path = plain(server.get("host") or server.get("url")), plain(server.get("pathname"))
    for name, variable in node_of(server.get("variables")).items():
        value = plain(variables.get(name, node_of(variable).get("default")))
        allowed = nodes_of(node_of(variable).get("enum"))
        if allowed and value not in allowed:
            raise CallFailed("configuration", f"The server's variable {name[:100]!r} cannot be {value[:100]!r}.")
        place, path = place.replace(f"{{{name}}}", value), path.replace(f"{{{name}}}", value)
    scheme, _, rest = place.rpartition("://")
    authority, slash, below = rest.partition("/")
    host, colon, port = authority.rpartition("@")[2].rpartition(":")
    schemes = _SCHEMES[protocol]
    default, tls = schemes.get(scheme, (0, False))
    if not colon or port.endswith("]"):
        host, port = host + colon + port, str(default)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536 or "{" in host + path or scheme not in schemes:
        raise CallFailed("configuration", "The document's server has no address that can be connected to.")
    return host.lower(), int(port), tls, path or slash + below


def _found(nodes: Node, name: str, kind: str) -> JsonValue:
    if name not in nodes:
        raise CallFailed("configuration", f"The document has no {kind} {name[:200]!r}.")
    return nodes[name]
