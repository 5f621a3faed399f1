"""What the demo plays: agent runs, job graphs, nodes and pods, whether recorded or invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]

AGENT_KIND_CAPABILITY = "airline-support"
PIPELINE_KIND = "nextflow"
POD_KIND = "openb"

RunEnding = Literal["handed_over", "completed", "failed"]
PodEnding = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Message:
    """Something said; without `content` when the model only called tools."""

    role: str
    content: str | None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call with what came back; neither `reply` nor `error` if nothing did."""

    tool: str
    call_id: str | None
    arguments: JsonObject
    reply: str | None = None
    error: str | None = None


Step = Message | ToolCall


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who answers: what `CreateAgent` needs."""

    id: str
    name: str
    capability: str
    prompt: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One conversation of an agent. `agent_id` is None when the task is asked by capability; `reason` says why it ended."""

    id: str
    title: str
    agent_id: str | None
    input: JsonObject
    steps: tuple[Step, ...]
    ending: RunEnding
    reason: str
    reward: float


@dataclass(frozen=True, slots=True)
class GraphTask:
    """A job of a pipeline. `parents` are ids of tasks of the same graph."""

    id: str
    name: str
    recorded_id: str
    parents: tuple[str, ...]
    cpu_milli: int
    memory_mib: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A pipeline; parents stand before their children in `tasks`."""

    name: str
    tasks: tuple[GraphTask, ...]


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What a node has when it is empty."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str | None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    shape: NodeShape


@dataclass(frozen=True, slots=True)
class Pod:
    """A job of the cluster, created `created_s` seconds after the trace begins.

    A cancelled one was never scheduled: it has no duration. `gpu_models` empty: any model.
    """

    id: str
    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_milli: int
    gpu_models: tuple[str, ...]
    quality: str
    ending: PodEnding
    created_s: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that is played; `source` says where it comes from."""

    source: str
    agents: tuple[Agent, ...]
    runs: tuple[Run, ...]
    graphs: tuple[Graph, ...]
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]


class GraphHasRing(ValueError):
    """A task of the graph depends on itself through others, or on a task that is not in the graph."""


def parents_first(tasks: Sequence[GraphTask]) -> tuple[GraphTask, ...]:
    """The tasks in an order in which every parent comes before its children; otherwise as given."""
    waiting = list(tasks)
    placed: dict[str, GraphTask] = {}
    while waiting:
        ready = [task for task in waiting if all(parent in placed for parent in task.parents)]
        if not ready:
            raise GraphHasRing(f"{waiting[0].recorded_id} can never start")
        placed.update((task.id, task) for task in ready)
        waiting = [task for task in waiting if task.id not in placed]
    return tuple(placed.values())
