"""What the command line prints: tables or JSON on stdout, plain errors on stderr. rich honours NO_COLOR."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypeVar

import httpx
import orjson
import psycopg
import typer
from nats.errors import Error as NatsError
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from infra.errors import Fault, Rejection
from infra.settings import Settings
from infra.telemetry import redact_text

FAILED = 1

T = TypeVar("T")

# A pipe or a file has no width of its own: give it room, so that nothing is cut off.
_PIPE_COLUMNS = 200

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)
for _console in (stdout, stderr):
    if not _console.is_terminal:
        _console.width = _PIPE_COLUMNS


class Output(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"


def fail(message: str) -> NoReturn:
    """Say what is wrong and what to do next, and end with exit code 1 (2 is for wrong usage)."""
    stderr.print("[bold red]error:[/] ", end="")
    stderr.print(redact_text(message), markup=False, soft_wrap=True)
    raise typer.Exit(FAILED)


def settings() -> Settings:
    """The settings from the environment, or a plain error that names the variable."""
    try:
        return Settings()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        fail(f"FOLDWORK_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}.")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; an expected failure becomes a plain error."""
    try:
        return asyncio.run(work)
    except (Rejection, Fault) as failure:
        fail(str(failure))
    except (psycopg.OperationalError, NatsError) as failure:
        fail(f"A server cannot be reached: {failure}\nIs the system up? See `foldwork status`.")
    except psycopg.ProgrammingError as failure:
        fail(f"Postgres cannot be asked: {failure}")
    except httpx.HTTPError as failure:
        fail(f"The query API does not answer: {failure}\nIs the system up? See `foldwork status`.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))


def print_table(title: str, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    """One line for each row; a missing value is a dash. Nothing but the title when there are no rows."""
    shown = list(rows)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        numeric = bool(shown) and all(isinstance(row.get(column), int | float) for row in shown)
        align: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(column.replace("_", " "), justify=align, header_style="dim", no_wrap=True)
    for row in shown:
        table.add_row(*(_cell(column, row.get(column)) for column in columns))
    stdout.print(table if shown else f"[bold]{title}[/]\n  none")


def print_rows(title: str, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...], output: Output) -> None:
    if output is Output.json:
        print_json([dict(row) for row in rows])
    else:
        print_table(title, rows, columns)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and column != "pid":
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return str(value)
