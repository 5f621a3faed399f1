"""The matrix of sagas: workflows of 1 to 6 steps in three shapes, that fail at each step, with undoing that works, fails or hangs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

STEPS_MAX = 6
Shape = Literal["sequential", "parallel", "nested"]
Undoing = Literal["ok", "once", "fail", "slow"]
SHAPES: tuple[Shape, ...] = ("sequential", "parallel", "nested")
UNDOINGS: tuple[Undoing, ...] = ("ok", "once", "fail", "slow")
UNDO_MS_MAX = 400


@dataclass(frozen=True, slots=True)
class Case:
    """`failing` is the step that fails, 0 if none does."""

    shape: Shape
    steps: int
    failing: int
    undoing: Undoing

    @property
    def name(self) -> str:
        return f"{self.shape}-{self.steps}-{self.failing}-{self.undoing}"

    @property
    def ends(self) -> set[str]:
        """How its run may end."""
        if not self.failing:
            return {"completed"}
        alone = self.failing == 1 and (self.shape != "parallel" or self.steps == 1)
        if alone:
            # Nothing was done before it: there is nothing to undo.
            return {"faulted"}
        ended = "compensated" if self.undoing in ("ok", "once") else "parked"
        # Of parallel branches none may have been done yet.
        return {ended, "faulted"} if self.shape != "sequential" else {ended}


def cases() -> Iterator[Case]:
    for shape, steps in product(SHAPES, range(1, STEPS_MAX + 1)):
        for failing in range(steps + 1):
            for undoing in UNDOINGS if failing else ("ok",):
                yield Case(shape, steps, failing, undoing)


def definition(case: Case, url: str) -> dict[str, Any]:
    """The workflow of a case, for the ledger at a URL."""
    steps = [
        step(url, f"{number}", "fail" if number == case.failing else "ok", case.undoing)
        for number in range(1, case.steps + 1)
    ]
    return workflow(case.name, _shaped(case.shape, steps))


def workflow(name: str, do: list[dict[str, Any]]) -> dict[str, Any]:
    return {"document": {"dsl": "1.0.3", "namespace": "matrix", "name": name, "version": "1.0.0"}, "do": do}


def _shaped(shape: Shape, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if shape == "sequential":
        return steps
    if shape == "parallel":
        return [{"together": {"fork": {"branches": steps}}}]
    half = (len(steps) + 1) // 2
    inner = [{"together": {"fork": {"branches": steps[half:]}}}] if steps[half:] else []
    return [{"outer": {"do": [{"inner": {"do": steps[:half]}}, *inner]}}]


def step(url: str, name: str, mode: str, undoing: Undoing) -> dict[str, Any]:
    """A call of the ledger that says how it is undone: by another one."""
    undo = call(url, "undo", name, undoing)
    if undoing == "slow":
        undo["timeout"] = {"after": {"milliseconds": UNDO_MS_MAX}}
    return {f"step{name}": {**call(url, "do", name, mode), "metadata": {"compensate": [{f"undo{name}": undo}]}}}


def call(url: str, what: str, name: str, mode: str) -> dict[str, Any]:
    endpoint = f'${{ "{url}/{what}/" + $workflow.id + "/{name}?mode={mode}" }}'
    return {"call": "http", "with": {"method": "post", "endpoint": endpoint, "body": {"step": name}}}
