"""Shows what was expected beside what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pydantic import JsonValue
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from infra.console import Output, print_json, stdout
from read_side.demo.checks import Check


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a demo; `seconds` by phase, `kills` by process (empty without chaos).

    `pictures` are for people: runs as the command line draws them.
    """

    source: str
    checks: Sequence[Check]
    seconds: Mapping[str, float]
    events: int
    kills: Mapping[str, int]
    pictures: Sequence[RenderableType] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def show(report: Report, output: Output) -> None:
    """Print it on stdout."""
    if output is Output.json:
        checks = [asdict(check) for check in report.checks]
        facts = {"source": report.source, "events": report.events, "seconds": report.seconds, "kills": report.kills}
        print_json({"ok": report.ok, "checks": checks, **facts})
        return
    table = Table(title=f"Foldwork demo: {report.source}", title_justify="left", title_style="bold", box=None)
    for column, justify in (("", "left"), ("what", "left"), ("expected", "right"), ("found", "right")):
        table.add_column(column, justify=justify, header_style="dim")  # type: ignore[arg-type]  # "left" and "right"
    for check in report.checks:
        colour, mark = ("green", "ok") if check.ok else ("bold red", "DIFFERS")
        found = Text(_text(check.found), style=colour)
        table.add_row(Text(mark, style=colour), Text(check.name), Text(_text(check.expected)), found)
    stdout.print(table)
    for picture in report.pictures:
        stdout.print()
        stdout.print(picture)
    phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in report.seconds.items())
    verdict = "[bold green]all as expected[/]" if report.ok else "[bold red]not as expected[/]"
    stdout.print(f"\n{verdict}: {len(report.checks)} comparisons over {report.events:,} events ({phases})")


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
