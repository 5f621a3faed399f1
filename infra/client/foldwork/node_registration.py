"""Makes a machine known as a node, or finds it again: by its name, if it still has what it had and does what it did."""

import itertools
import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

from foldwork.answers import Refused
from foldwork.client import Client

PAGE_ROWS = 100
_LIVE = ("registered", "online", "offline")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
NAME_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node has: thousandths of a processor, MiB, and GPUs of one model."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int = 0
    gpu_model: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


async def register(client: Client, name: str, capacity: Capacity, kinds: Collection[str] | None) -> str:
    """The id of the node, which is online from now on and does these kinds of jobs; None is every kind.

    A node of that name that was drained, or had another capacity or other kinds, takes no jobs any more: it is retired as soon as it has
    none, and this machine becomes a new node. Raises Refused.
    """
    does = None if kinds is None else sorted(kinds)
    found = ""
    for status in _LIVE:
        async for row in pages(client, "/v1/nodes", name=name, status=status):
            same = not row["draining"] and _is_as(row, capacity, does)
            if not found and same and await _is_there(client, row["node_id"]):
                found = row["node_id"]
            elif row["node_id"] != found:
                await leave(client, row["node_id"])
    if found:
        return found
    node_id = f"{_UNSAFE.sub('-', name).strip('-_')[:NAME_CHARACTERS_MAX] or 'node'}-{uuid4().hex[:12]}"
    await client.send("RegisterNode", {"node_id": node_id, "name": name, **asdict(capacity), "kinds": does})
    await client.send("HeartbeatNode", {"node_id": node_id})
    return node_id


async def leave(client: Client, node_id: str) -> bool:
    """Take no further jobs, and go for good if there are none left; whether the node has gone."""
    for command in ("DrainNode", "RetireNode"):
        try:
            await client.send(command, {"node_id": node_id})
        except Refused as refused:
            if refused.code == "node-already-retired":
                return True
            if refused.code == "node-still-reserved":
                return False
            if refused.code != "node-already-drained":
                raise
    return True


async def pages(client: Client, path: str, **filters: Any) -> AsyncIterator[dict[str, Any]]:
    """The rows of a list, page by page."""
    following: dict[str, Any] = {}
    for _ in itertools.count():
        page = await client.query(path, limit=PAGE_ROWS, **filters, **following)
        for row in page["data"]:
            yield row
        if page["next_cursor"] is None:
            return
        following = {"cursor": page["next_cursor"]}


async def _is_there(client: Client, node_id: str) -> bool:
    """Whether it is not retired meanwhile; it is online then."""
    try:
        await client.send("HeartbeatNode", {"node_id": node_id})
    except Refused as refused:
        if refused.code == "node-already-retired":
            return False
        raise
    return True


def _is_as(row: Mapping[str, Any], capacity: Capacity, kinds: list[str] | None) -> bool:
    does = None if row["kinds"] is None else sorted(row["kinds"])
    return does == kinds and all(row[name] == value for name, value in asdict(capacity).items())
