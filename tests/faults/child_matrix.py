"""The part of the matrix that has child runs: a step is a run of 1 to 3 steps, or one that has such a run as its own child."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults.saga_matrix import UNDOINGS, Undoing, step, workflow

STEPS_MAX = 3
DEPTHS = (1, 2)
Failing = Literal["", "before", "in", "between", "after", "beside", "cancelled", "late"]
LATE_S = 2
HOLD = {"hold": {"wait": {"minutes": 10}}}
"""What a run waits for until somebody gives it up."""


@dataclass(frozen=True, slots=True)
class ChildCase:
    """A run of a step, a child and another step. The innermost run has `steps`; at depth 2 it is a child's, behind a step of that.

    `failing` is where it fails: in the step before the child, in step `at` of the innermost run, in the child behind its own child, in the
    step after the child, or in a branch beside it. `cancelled`: the parent is, with compensation, once the innermost run has done its
    steps. `late`: the child takes longer than its task may. `undoing` is how children undo their steps; the parent's own way is sound.
    """

    depth: int
    steps: int
    failing: Failing
    at: int = 0
    undoing: Undoing = "ok"

    @property
    def name(self) -> str:
        return f"child-{self.depth}-{self.steps}-{self.failing or 'none'}{self.at or ''}-{self.undoing}"

    @property
    def is_sequential(self) -> bool:
        return self.failing != "beside"

    @property
    def ends(self) -> set[str]:
        """How the parent may end."""
        sound = self.undoing in ("ok", "once")
        match self.failing:
            case "":
                return {"completed"}
            case "before":
                return {"faulted"}
            case "in" | "between":
                nothing_done = self.depth == 1 and self.at == 1
                return {"compensated"} if sound or nothing_done else {"parked"}
            case "after" | "cancelled":
                return {"compensated"} if sound else {"parked"}
            case _:
                # The child may be given up before it has done anything.
                return {"compensated"} if sound else {"compensated", "parked"}


def child_cases() -> Iterator[ChildCase]:
    for depth in DEPTHS:
        for steps in range(1, STEPS_MAX + 1):
            yield ChildCase(depth, steps, "")
            yield ChildCase(depth, steps, "before")
            for at in range(1, steps + 1):
                for undoing in UNDOINGS if depth > 1 or at > 1 else ("ok",):
                    yield ChildCase(depth, steps, "in", at, undoing)
            places: tuple[Failing, ...] = ("after", "beside", "cancelled", "late", *(("between",) if depth > 1 else ()))
            for failing in places:
                for undoing in UNDOINGS:
                    yield ChildCase(depth, steps, failing, 0, undoing)


def child_definitions(case: ChildCase, url: str) -> list[dict[str, Any]]:
    """The workflows of a case, the innermost first and the parent last, which has its name."""
    modes = ["fail" if case.failing == "in" and case.at == number else "ok" for number in range(1, case.steps + 1)]
    inner = [step(url, f"{number}", mode, case.undoing) for number, mode in enumerate(modes, 1)]
    if case.failing in ("cancelled", "late"):
        inner.append(HOLD)
    found = [workflow(f"{case.name}-1", inner)]
    if case.depth > 1:
        outer = [step(url, "first", "ok", case.undoing), _child(f"{case.name}-1")]
        if case.failing == "between":
            outer.append(step(url, "last", "fail", case.undoing))
        found.append(workflow(f"{case.name}-2", outer))
    return [*found, workflow(case.name, _parent(case, url))]


def _parent(case: ChildCase, url: str) -> list[dict[str, Any]]:
    child = _child(f"{case.name}-{case.depth}")
    if case.failing == "late":
        child["child"]["timeout"] = {"after": {"seconds": LATE_S}}
    if case.failing == "beside":
        child = {"together": {"fork": {"branches": [child, step(url, "beside", "fail", "ok")]}}}
    before = step(url, "before", "fail" if case.failing == "before" else "ok", "ok")
    return [before, child, step(url, "after", "fail" if case.failing == "after" else "ok", "ok")]


def _child(name: str) -> dict[str, Any]:
    return {"child": {"run": {"workflow": {"namespace": "matrix", "name": name, "version": "1.0.0"}}}}
