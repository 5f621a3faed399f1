"""The jobs that wait for room, by priority and then age, gathered by what they need so that equals are tested once."""

from bisect import bisect_left, insort

from pydantic import BaseModel

from events.job import Requirements

Rank = tuple[int, int, str]
"""A job's place in the queue, lowest first: priority negated, age (the position of its submission), id."""


class Shape(BaseModel):
    """The waiting jobs that need the same room and may go to the same nodes; where the first does not fit, none does.

    `kind` is None for all those of kinds that no node has named: only nodes that do every kind do them.
    """

    need: Requirements
    kind: str | None
    ranks: list[Rank]


class JobQueue(BaseModel):
    """The waiting jobs by shape; a shape is there only while jobs of it wait.

    `kinds_named` are the kinds that any node has ever named. Others are not told apart: without nodes that name kinds
    there are as many shapes as different needs, and placement does what it did before nodes could name any.
    """

    shapes: dict[str, Shape] = {}
    kinds_named: frozenset[str] = frozenset()

    def key_of(self, kind: str, need: Requirements) -> str:
        return shape_key(self._told_apart(kind), need)

    def add(self, kind: str, need: Requirements, rank: Rank) -> bool:
        """Put a job in; True if it is the only one of its shape."""
        key = self.key_of(kind, need)
        if key in self.shapes:
            insort(self.shapes[key].ranks, rank)
            return False
        self.shapes[key] = Shape(need=need, kind=self._told_apart(kind), ranks=[rank])
        return True

    def remove(self, kind: str, need: Requirements, rank: Rank) -> None:
        key = self.key_of(kind, need)
        ranks = self.shapes[key].ranks
        del ranks[bisect_left(ranks, rank)]
        if not ranks:
            del self.shapes[key]

    def _told_apart(self, kind: str) -> str | None:
        return kind if kind in self.kinds_named else None


def shape_key(kind: str | None, need: Requirements) -> str:
    """Equal for equal kinds and needs; `|` cannot occur in a kind or the name of a GPU model."""
    models = "|".join(sorted(need.gpu_models))
    return f"{kind or ''}|{need.cpu_milli}|{need.memory_mib}|{need.gpu_count}|{need.gpu_milli}|{models}"
