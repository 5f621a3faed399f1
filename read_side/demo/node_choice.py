"""Chooses a few nodes of a large cluster so that every job fits somewhere, and the jobs still have to wait for each other."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from read_side.demo.scenario import Graph, Node, NodeShape, Pod


class NoNodeFits(ValueError):
    """No node of the list could hold this job, even if it were empty."""


class Need(NamedTuple):
    """What a job must find on one node; how much of a single GPU makes no difference here."""

    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_models: tuple[str, ...]

    def fits(self, shape: NodeShape) -> bool:
        return (
            self.cpu_milli <= shape.cpu_milli
            and self.memory_mib <= shape.memory_mib
            and self.gpu_count <= shape.gpu_count
            and (not self.gpu_count or not self.gpu_models or shape.gpu_model in self.gpu_models)
        )


def needs_of(pods: Iterable[Pod], graphs: Iterable[Graph]) -> set[Need]:
    """Every different need."""
    needs = {Need(pod.cpu_milli, pod.memory_mib, pod.gpu_count, pod.gpu_models) for pod in pods}
    needs.update(Need(task.cpu_milli, task.memory_mib, 0, ()) for graph in graphs for task in graph.tasks)
    return needs


def choose_nodes(nodes: Sequence[Node], needs: set[Need], count: int) -> tuple[Node, ...]:
    """`count` nodes, more only if it takes more to hold every need.

    First the shapes that cover all needs, each time the one that covers most of what is left (greedy set cover); then
    shapes in proportion to how common they are.
    """
    of_shape: defaultdict[NodeShape, list[Node]] = defaultdict(list)
    for node in nodes:
        of_shape[node.shape].append(node)
    common = Counter({shape: len(members) for shape, members in of_shape.items()})
    chosen = Counter(_cover(common, needs))
    while chosen.total() < min(count, len(nodes)):
        chosen[_most_missing(common, chosen)] += 1
    return tuple(node for shape in of_shape for node in of_shape[shape][: chosen[shape]])


def _cover(common: Counter[NodeShape], needs: set[Need]) -> list[NodeShape]:
    chosen: list[NodeShape] = []
    uncovered = set(needs)
    while uncovered:
        covered = {shape: {need for need in uncovered if need.fits(shape)} for shape in common}
        best = max(common, key=lambda shape: (len(covered[shape]), common[shape]), default=None)
        if best is None or not covered[best]:
            raise NoNodeFits(f"no node of the list can hold {min(uncovered)}")
        chosen.append(best)
        uncovered -= covered[best]
    return chosen


def _most_missing(common: Counter[NodeShape], chosen: Counter[NodeShape]) -> NodeShape:
    """The next seat by D'Hondt's method: the shape with the most nodes for each one that is chosen."""
    left = [shape for shape in common if chosen[shape] < common[shape]]
    return max(left, key=lambda shape: common[shape] / (chosen[shape] + 1))
