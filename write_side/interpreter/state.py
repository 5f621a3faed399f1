"""What is known of a run: its open tasks, its context, and what would have to be undone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import JsonValue

from events.run_parts import Awaited, ParentTask, RunAwaited, RunError
from write_side.interpreter.changed import replace

Status = Literal[
    "unknown",
    "running",
    "suspended",
    "failing",
    "cancelling",
    "compensating",
    "parked",
    "completed",
    "faulted",
    "cancelled",
    "compensated",
]
ENDED = frozenset({"completed", "faulted", "cancelled", "compensated"})

Phase = Literal["ready", "blocked", "awaiting", "answered", "delayed", "faulted"]
"""`ready`: it can go on; `blocked`: tasks below it are open; `awaiting`: something has to happen outside; `delayed`: until `retry_at`."""

ROOT = 0
"""The number of the run itself among its tasks."""
EXTENSIONS = "/use/extensions/"
DOCUMENT = "document"
"""The kind of a task that fetches what another one needs."""

NEVER = datetime.min.replace(tzinfo=UTC)
"""Before every moment, whatever clock tells it."""


@dataclass(frozen=True)
class Node:
    """An open task.

    `section` is the list of tasks that it is doing, `cursor` the place in it of the last one that ended, `then` where that one leads, and
    `data` what came of it: the input of the next. `place` is its own place in its list. `index` is the round of a loop.
    """

    task: int
    parent: int
    reference: str
    name: str
    kind: str
    raw: JsonValue = None
    input: JsonValue = None
    started_at: datetime = NEVER
    phase: Phase = "ready"
    place: int = 0
    section: str = ""
    cursor: int = -1
    then: str | None = None
    data: JsonValue = None
    prepared: bool = False
    answered: bool = False
    answer: JsonValue = None
    answered_then: str | None = None
    items: tuple[JsonValue, ...] | None = None
    index: int = -1
    children: int = 0
    begun: int = 0
    again: tuple[int, ...] = ()
    outputs: Mapping[int, JsonValue] = field(default_factory=dict)
    consumed: tuple[JsonValue, ...] = ()
    matched: frozenset[int] = frozenset()
    correlations: Mapping[str, JsonValue] = field(default_factory=dict)
    closed: bool = False
    attempt: int = 0
    error: RunError | None = None
    retry_at: datetime | None = None
    awaits: Awaited | None = None


BLANK = Node(ROOT, -1, "", "", "")
"""What each task begins as: a copy of this is made in a fraction of the time that `Node(...)` takes for thirty fields."""


@dataclass(frozen=True)
class Done:
    """A completed task that can be undone: by the list that its definition has for it, or with the run that it was.

    Also a task whose child run was given up while it was under way: what that has done by then is undone with it. And one of which
    nobody knows whether it was done: it has no output.
    """

    task: int
    reference: str
    name: str
    input: JsonValue
    output: JsonValue
    run_id: str | None = None


@dataclass(frozen=True)
class Undoing:
    """The task that is being undone, by which task, and how often that was tried.

    `doubts` are the calls of earlier attempts that may have been done, by their places: the first task that asked for each.
    """

    of: Done
    task: int
    attempt: int = 1
    error: RunError | None = None
    retry_at: datetime | None = None
    doubts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunState:
    """Open tasks by number; those that can go on are in `ready`, in the order in which they take their turns.

    `functions` and `schemas` are the documents that were fetched, by their addresses: the run keeps what it got.
    """

    status: Status = "unknown"
    workflow_id: str = ""
    workflow_version: str = ""
    digest: str = ""
    started_at: datetime = NEVER
    parent: ParentTask | None = None
    input: JsonValue = None
    context: JsonValue = None
    nodes: Mapping[int, Node] = field(default_factory=dict)
    ready: tuple[int, ...] = ()
    begun: int = 0
    inbox: tuple[dict[str, JsonValue], ...] = ()
    suspended: bool = False
    compensate: bool = False
    reason: str | None = None
    error: RunError | None = None
    done: tuple[Done, ...] = ()
    undoing: Undoing | None = None
    functions: Mapping[str, JsonValue] = field(default_factory=dict)
    functions_digest: str = ""
    schemas: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.status in ENDED

    def with_node(self, *changed: Node, gone: Collection[int] = (), **more: Any) -> "RunState":
        """With tasks as they are now, without those that are gone, and with `more` fields; each task takes its turn if it can go on.

        At once, since each copy of a state costs as much as all else that an event of a run changes.
        """
        nodes, ready = dict(self.nodes), self.ready
        for number in gone:
            nodes.pop(number, None)
        if gone:
            ready = tuple(number for number in ready if number not in gone)
        for node in changed:
            nodes[node.task] = node
            if node.phase in ("ready", "answered", "faulted"):
                if node.task not in ready:
                    ready = (*ready, node.task)
            elif node.task in ready:
                ready = tuple(number for number in ready if number != node.task)
        return replace(self, nodes=nodes, ready=ready, **more)

    def without(self, *numbers: int) -> "RunState":
        """Without these tasks."""
        return self.with_node(gone=numbers)

    def below(self, task: int) -> list[int]:
        """The open tasks below one, the latest first."""
        found: list[int] = []
        inside = {task}
        for number, node in self.nodes.items():
            if node.parent in inside and number != task:
                inside.add(number)
                found.append(number)
        return found[::-1]


def child_under_way(node: Node) -> str | None:
    """The child run whose end a task waits for; what it does is undone with its parent, so a parent that gives it up remembers it."""
    return node.awaits.run_id if node.phase == "awaiting" and isinstance(node.awaits, RunAwaited) else None


def is_branch(parent: Node, reference: str) -> bool:
    """Whether a task below this one is a branch of it."""
    return parent.kind == "fork" and parent.prepared and not reference.startswith(EXTENSIONS)
