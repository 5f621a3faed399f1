"""The jobs that wait for room, by priority and then age, gathered by what they need so that equals are tested once."""

from bisect import bisect_left, insort

from pydantic import BaseModel

from events.job import Requirements

Rank = tuple[int, int, str]
"""A job's place in the queue, lowest first: priority negated, age (the position of its submission), id."""


class Shape(BaseModel):
    """The waiting jobs that need the same room; where the first does not fit, none of them does."""

    need: Requirements
    ranks: list[Rank]


class JobQueue(BaseModel):
    """The waiting jobs by shape; a shape is there only while jobs of it wait."""

    shapes: dict[str, Shape] = {}

    def add(self, need: Requirements, rank: Rank) -> bool:
        """Put a job in; True if it is the only one of its shape."""
        key = shape_key(need)
        if key in self.shapes:
            insort(self.shapes[key].ranks, rank)
            return False
        self.shapes[key] = Shape(need=need, ranks=[rank])
        return True

    def remove(self, need: Requirements, rank: Rank) -> None:
        key = shape_key(need)
        ranks = self.shapes[key].ranks
        del ranks[bisect_left(ranks, rank)]
        if not ranks:
            del self.shapes[key]


def shape_key(need: Requirements) -> str:
    """Equal for equal needs; `|` cannot occur in the name of a GPU model."""
    models = "|".join(sorted(need.gpu_models))
    return f"{need.cpu_milli}|{need.memory_mib}|{need.gpu_count}|{need.gpu_milli}|{models}"
