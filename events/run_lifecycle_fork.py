"""Which tasks are open where a forked run begins: its first event holds them, since it has nothing else of the other run."""

from pydantic import BaseModel, JsonValue

from events.run import RunForked
from events.run_lifecycle_tasks import OpenTask, listens, phase_of
from events.run_parts import Awaited


class ForkedTask(BaseModel):
    """As much of an open task in the state of a forked run as matters here."""

    parent: int
    reference: str
    kind: str
    prepared: bool
    items: list[JsonValue] | None = None
    begun: int = 0
    again: list[int] = []
    awaits: Awaited | None = None
    closed: bool = False

    @property
    def branches(self) -> int:
        """How many of a fork have yet to begin."""
        return len(self.items or ()) - self.begun + len(self.again) if self.kind == "fork" else 0


class ForkedState(BaseModel):
    """As much of the state that a forked run begins with as matters here: its open tasks, 0 is the run."""

    nodes: dict[int, ForkedTask] = {}


def open_tasks(event: RunForked) -> tuple[bool, dict[int, OpenTask]]:
    """Whether the run's input is formed, and the open tasks by number, parents first."""
    every = ForkedState.model_validate(event.state).nodes
    nodes = {number: node for number, node in every.items() if node.kind != "document"}
    root = nodes.pop(0, None)
    found = {}
    for number, node in sorted(nodes.items()):
        awaits = None if node.closed else node.awaits
        found[number] = OpenTask(
            node.reference,
            node.parent,
            node.kind == "fork",
            phase_of(awaits) if node.prepared else "pending",
            # Those that are open have yet to begin in this run.
            branches=node.branches + sum(other.parent == number for other in nodes.values()),
            listens=listens(awaits),
        )
    return root is not None and root.prepared, found
