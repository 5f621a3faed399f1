"""`foldwork demo`: plays recorded input through a system of its own, or through one that runs, and checks the outcome."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.console import FAILED, Output, fail, run, settings
from infra.errors import Rejection
from infra.ids import new_id
from infra.telemetry import configure_logging
from read_side.demo.invented import invented_scenario
from read_side.demo.play import Target
from read_side.demo.progress import Bars
from read_side.demo.recorded import data_folder, load_scenario
from read_side.demo.report import Report, show
from read_side.demo.stage import Stage
from read_side.demo.totals import totals_of, totals_of_files

TERMINATED = 128 + signal.SIGTERM


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Recorded input; without it FOLDWORK_DATA, ../shared/data or a smaller one of our own."
        ),
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json")] = Output.table,
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill every process again and again meanwhile.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder with the database and the logs.")] = False,
    command_url: Annotated[
        str | None, typer.Option("--command-url", help="Drive a running system, as a tenant of its own.")
    ] = None,
    query_url: Annotated[str | None, typer.Option("--query-url", help="Its query API.")] = None,
) -> None:
    """Play agent runs, pipelines and a GPU cluster, then compare what the query API says with the input."""
    if (command_url is None) != (query_url is None):
        raise typer.BadParameter("--command-url and --query-url go together")
    if chaos and command_url:
        raise typer.BadParameter("--chaos kills only what the demo itself has started: leave --command-url out")
    given = settings()
    configure_logging("demo", "CRITICAL", text=True)
    with Bars(shown=output is Output.table) as bars:
        stage = _prepare(data, bars)
        if command_url and query_url:
            report = run(_until_terminated(stage.on_running(Target(command_url, query_url, f"demo-{new_id()}"))))
        else:
            report = run(_until_terminated(stage.on_own(given, chaos=chaos, keep=keep)))
    show(report, output)
    if not report.ok:
        raise typer.Exit(FAILED)


def _prepare(data: Path | None, bars: Bars) -> Stage:
    """The input with its totals; what is wrong with a file is said plainly."""
    try:
        folder = data_folder(data)
        if folder is None:
            scenario = invented_scenario()
            return Stage(scenario, totals_of(scenario), bars)
        return Stage(load_scenario(folder), totals_of_files(folder), bars)
    except (Rejection, OSError, ValueError, KeyError) as wrong:
        fail(f"The recorded input cannot be used: {wrong}")


async def _until_terminated(work: Coroutine[Any, Any, Report]) -> Report:
    """Clean up on SIGTERM too, as on Ctrl-C."""
    working = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        working.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await working
    except asyncio.CancelledError:
        if terminated:
            raise typer.Exit(TERMINATED) from None
        raise
