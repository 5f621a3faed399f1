"""Where an AsyncAPI document (2.x and 3.0) says that messages go: the server, the subject and the queue group."""

from dataclasses import dataclass

from pydantic import JsonValue

from infra.calls.contract import Arguments, CallFailed, map_of, plain, text_of
from infra.calls.document_nodes import Node, node_of, nodes_of, resolved

PROTOCOL = "nats"
_PORT = 4222


@dataclass(frozen=True, slots=True)
class Channel:
    """A NATS server and the subject on it; `queue` is the group that shares the messages, empty if there is none."""

    host: str
    port: int
    tls: bool
    subject: str
    queue: str


def find_channel(document: Node, arguments: Arguments) -> Channel:
    """What `channel` (2.x) or `operation` (3.0), `server` and `protocol` of a call mean in a document.

    CallFailed("configuration") if the document does not have it, or the server speaks another protocol than NATS.
    """
    version = plain(document.get("asyncapi"))
    publishes = arguments.get("message") is not None
    if version.startswith("2."):
        name = text_of(arguments, "channel")
        channel = resolved(document, _found(node_of(document.get("channels")), name, "channel"))
        operation = resolved(document, channel.get("publish" if publishes else "subscribe"))
        subject, named = name, [plain(each) for each in nodes_of(channel.get("servers"))]
    elif version.startswith("3."):
        name = text_of(arguments, "operation")
        operation = resolved(document, _found(node_of(document.get("operations")), name, "operation"))
        channel = resolved(document, operation.get("channel"))
        subject = plain(channel.get("address"))
        named = [plain(node_of(each).get("$ref")).rpartition("/")[2] for each in nodes_of(channel.get("servers"))]
    else:
        raise CallFailed("configuration", "The document is neither AsyncAPI 2 nor 3.")
    if not subject or "{" in subject:
        raise CallFailed(
            "configuration", "The channel has no address, or one with parameters, which a call cannot give."
        )
    server = _server(document, named, arguments)
    queue = plain(node_of(node_of(operation.get("bindings")).get(PROTOCOL)).get("queue"))
    host, port, tls = _address(server, map_of(map_of(arguments, "server"), "variables"))
    return Channel(host, port, tls, subject, queue)


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
            fitting = [server for server in fitting if server.get("protocol") == protocol]
        if not fitting:
            raise CallFailed("configuration", "The document has no server that fits the channel and the protocol.")
        server = fitting[0]
    if server.get("protocol") != PROTOCOL:
        spoken = plain(server.get("protocol"))[:40]
        raise CallFailed("configuration", f"The server speaks {spoken!r}; only {PROTOCOL!r} is supported.")
    return server


def _address(server: Node, variables: Arguments) -> tuple[str, int, bool]:
    place = plain(server.get("host") or server.get("url"))
    for name, variable in node_of(server.get("variables")).items():
        value = plain(variables.get(name, node_of(variable).get("default")))
        allowed = nodes_of(node_of(variable).get("enum"))
        if allowed and value not in allowed:
            raise CallFailed("configuration", f"The server's variable {name[:100]!r} cannot be {value[:100]!r}.")
        place = place.replace(f"{{{name}}}", value)
    scheme, _, rest = place.rpartition("://")
    host, colon, port = rest.partition("/")[0].rpartition("@")[2].rpartition(":")
    if not colon or port.endswith("]"):
        host, port = host + colon + port, str(_PORT)
    if (
        not host
        or not port.isdecimal()
        or not 0 < int(port) < 65_536
        or "{" in host
        or scheme not in {"", "nats", "tls"}
    ):
        raise CallFailed("configuration", "The document's server has no address that can be connected to.")
    return host, int(port), scheme == "tls"


def _found(nodes: Node, name: str, kind: str) -> JsonValue:
    if name not in nodes:
        raise CallFailed("configuration", f"The document has no {kind} {name[:200]!r}.")
    return nodes[name]
