"""What a benchmark run yields: figures with their floors and baselines, as a table or as JSON."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `floor` is the least it should be (for `ms` and `%` the most); `baseline` was measured in the same run.

    Not a number: it could not be measured, and `note` says why.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    baseline: str | None = None
    ratio: float | None = None
    ratio_floor: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        most = self.unit in ("ms", "%")
        within = self.floor is None or (self.value <= self.floor if most else self.value >= self.floor)
        return within and (self.ratio_floor is None or (self.ratio or 0) >= self.ratio_floor)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def show(figures: list[Figure]) -> None:
    table = Table(title="Foldwork bench: two cores, fsync on, servers and load on the same machine")
    for heading, right in (
        ("figure", 0),
        ("found", 1),
        ("floor", 1),
        ("beside", 0),
        ("ratio", 1),
        ("", 0),
        ("note", 0),
    ):
        table.add_column(heading, justify="right" if right else "left")
    for figure in figures:
        table.add_row(
            figure.name,
            _found(figure),
            "" if figure.floor is None else f"{figure.floor:,.0f}",
            figure.baseline or "",
            "" if figure.ratio is None else f"{figure.ratio:,.1f}x",
            "[green]ok[/green]" if figure.ok else "[red]below[/red]",
            figure.note,
        )
    Console().print(table)


def _found(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "not measured"
    return f"{figure.value:,.2f} ms" if figure.unit == "ms" else f"{figure.value:,.0f} {figure.unit}"
