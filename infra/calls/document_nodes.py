"""The nodes of documents that describe services: objects, lists, and what a reference inside of the document leads to."""

from collections.abc import Mapping

from pydantic import JsonValue

from infra.calls.contract import CallFailed

Node = Mapping[str, JsonValue]

_REFERENCES_MAX = 20


def resolved(document: Node, node: JsonValue) -> dict[str, JsonValue]:
    """A node, or what it refers to inside of the document (RFC 6901). Raises CallFailed("configuration")."""
    found = node_of(node)
    for _ in range(_REFERENCES_MAX):
        reference = found.get("$ref")
        if reference is None:
            return found
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise CallFailed("configuration", "The document refers to another document, which is not followed.")
        found = node_of(pointed_at(dict(document), reference[1:]))
    raise CallFailed("configuration", "The document's references go in a circle.")


def pointed_at(value: JsonValue, pointer: str) -> JsonValue:
    """What is at a JSON pointer (RFC 6901) that leads through objects; None if nothing is."""
    for step in pointer.split("/")[1:]:
        value = node_of(value).get(step.replace("~1", "/").replace("~0", "~"))
    return value


def node_of(value: JsonValue) -> dict[str, JsonValue]:
    """An object, empty if it is something else."""
    return value if isinstance(value, dict) else {}


def nodes_of(value: JsonValue) -> list[JsonValue]:
    """A list, empty if it is something else."""
    return value if isinstance(value, list) else []
