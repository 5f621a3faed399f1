"""What the command line prints: tables or JSON on stdout, plain errors on stderr. rich honours NO_COLOR."""

import asyncio
import re
import sys
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
from pydantic_settings import SettingsError
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.errors import Fault, Rejection
from infra.settings import Settings
from infra.telemetry import redact_text

FAILED = 1

T = TypeVar("T")

# A pipe or a file has no width of its own: give it room, so that nothing is cut off.
_PIPE_COLUMNS = 200
CELL_CHARACTERS_MAX = 4_000
_GAP = 2
# What is wider may go on below, and has at least so much room for it.
_FOLDED_COLUMNS_MIN = 40

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


def confirm(question: str) -> None:
    """Go on after a yes only; where nobody is there to answer, say how to go without."""
    try:
        if typer.confirm(question):
            return
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo()
        fail("Nobody is there to answer: --yes is needed.")
    raise typer.Abort


def settings() -> Settings:
    """The settings from the environment, or a plain error that names the variable."""
    try:
        return Settings()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        fail(f"FOLDWORK_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}.")
    except SettingsError as wrong:
        field = re.search(r'field "(\w+)"', str(wrong))
        fail(f'FOLDWORK_{field[1].upper() if field else "..."}: must be JSON, for example ["a"] or {{"a": "b"}}.')


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
    except httpx.RequestError as failure:
        url, cause = failure.request.url, str(failure) or type(failure).__name__
        where = f"{url.scheme}://{url.netloc.decode()}" if url.host else str(url)
        fail(f"Nothing answers at {where}: {cause}\nIs the system up? See `foldwork status`.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))


def plain(text: str, characters_max: int = CELL_CHARACTERS_MAX) -> str:
    """On one line, without what a terminal would obey, and cut off where it is long."""
    shown = "".join(character if character.isprintable() else " " for character in text[: characters_max + 1])
    return shown if len(shown) <= characters_max else shown[: characters_max - 1] + "…"


def print_table(title: str, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    """One line for each row; a missing value is a dash. Nothing but the title when there are no rows.

    No column is left out and no value cut off: on a terminal a long value goes on below, and where even that is not enough
    room the terminal breaks the lines. What stands in the rows is text, whoever wrote it, and never markup.
    """
    shown = list(rows)
    stdout.print(f"[bold]{title}[/]" if shown else f"[bold]{title}[/]\n  none")
    if not shown:
        return
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    room = -_GAP
    for column in columns:
        heading, cells = column.replace("_", " "), [_cell(column, row.get(column)) for row in shown]
        numeric = all(isinstance(row.get(column), int | float) for row in shown)
        align: Literal["left", "right"] = "right" if numeric else "left"
        width = max(map(cell_len, (heading, *cells)))
        is_folded = stdout.is_terminal and width > _FOLDED_COLUMNS_MIN
        table.add_column(heading, justify=align, header_style="dim", no_wrap=not is_folded, overflow="fold")
        room += _GAP + (_FOLDED_COLUMNS_MIN if is_folded else width)
    for row in shown:
        table.add_row(*(Text(_cell(column, row.get(column))) for column in columns))
    if room > stdout.width:
        table.width = room
    stdout.print(table, crop=False)


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
    return plain(str(value))
