"""The command `foldwork`. Each side adds its own commands through the entry point group `foldwork.commands`, and other distributions
whole programs, which read their arguments themselves, through `foldwork.programs`.

Exit codes: 0 done (status: all is well), 1 failed (status: something is not), 2 wrong usage.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import aclosing
from importlib.metadata import EntryPoint, entry_points
from importlib.metadata import version as version_of
from typing import Annotated, Any

import orjson
import typer

from infra import status as system
from infra.adapters.migrations import migrate as migrate_database
from infra.console import FAILED, Output, fail, print_json, print_table, run, settings, stderr, stdout
from infra.consumer_commands import CONSUMER_COLUMNS, PLAIN, OutputOption, dead_letters, projections
from infra.settings import Settings
from infra.supervisor import Supervisor
from infra.tail import CloudEvent, Tail
from infra.telemetry import configure_logging, redact_text

COMMANDS = "foldwork.commands"
PROGRAMS = "foldwork.programs"
_PROGRAMS_HELP = {"node": "Be a node of the fleet: run the containers that are placed on this machine."}
"""Of a program is known what it is called, and no more before it is loaded."""
TAIL_EVENTS = 20

app = typer.Typer(**PLAIN)
events = typer.Typer(help="The log.", **PLAIN)
app.add_typer(events, name="events")
app.add_typer(projections, name="projections")
app.add_typer(dead_letters, name="dead-letters")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foldwork {version_of('foldwork')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and exit.")]


@app.callback()
def program(version: Version = False) -> None:
    """Event-sourced control plane for AI agents, their workflows and their compute jobs."""


@app.command()
def up() -> None:
    """Start everything in this folder and keep it running until Ctrl-C."""
    given = settings()
    configure_logging("supervisor", given.log_level, text=sys.stderr.isatty())
    run(_up(given))


async def _up(given: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as nohup has it
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    foldwork = Supervisor(given)
    asked = asyncio.create_task(stopped.wait())
    try:
        with stderr.status("starting ..."):
            await _unless(asked, asyncio.create_task(foldwork.start()))
        if not asked.done():
            _welcome(foldwork)
            await _unless(asked, asyncio.create_task(foldwork.wait()))
        stderr.print("stopping ...")
    finally:
        await foldwork.stop()


async def _unless(asked: "asyncio.Task[bool]", work: "asyncio.Task[None]") -> None:
    """Do the work, or give it up as soon as the end is asked for."""
    await asyncio.wait({asked, work}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    else:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _welcome(foldwork: Supervisor) -> None:
    rows: list[dict[str, Any]] = [
        {"what": "command API", "where": foldwork.url("write_side") + "/docs"},
        {"what": "query API", "where": foldwork.url("read_side") + "/docs"},
        {"what": "Postgres", "where": redact_text(foldwork.settings.database_url or "")},
        {"what": "NATS", "where": redact_text(foldwork.settings.nats_url or "")},
        {"what": "logs", "where": foldwork.folder.log("*")},
    ]
    print_table("Foldwork is up. Ctrl-C stops it.", rows, ("what", "where"))
    stdout.print("\nIn another terminal: [bold]foldwork status[/], [bold]foldwork events tail --follow[/]")


@app.command()
def status(output: OutputOption = Output.table) -> None:
    """Show processes, the log and its mirror, consumers, queues and dead letters."""
    found = run(system.system_status(settings()))
    if output is Output.json:
        print_json(found.model_dump())
    else:
        processes = [process.model_dump() for process in found.processes]
        print_table("Processes", processes, ("name", "state", "pid", "memory_mib", "restarts", "url"))
        print_table("\nLog", [{"head": found.head, "mirror": found.mirror}], ("head", "mirror"))
        print_table("\nConsumers", [consumer.model_dump() for consumer in found.consumers], CONSUMER_COLUMNS)
        print_table("\nQueues", [queue.model_dump() for queue in found.queues], ("process", "queue", "depth"))
        for problem in found.problems:
            stderr.print(problem, style="red", markup=False)
    if not found.ok:
        raise typer.Exit(FAILED)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema. `foldwork up` does it by itself."""
    given = settings()

    async def work() -> list[str]:
        return await migrate_database(system.database_url(given), given.shard, given.partition_events)

    applied = run(work())
    stdout.print("\n".join(f"applied {name}" for name in applied) if applied else "The schema is up to date.")


@events.command()
def tail(
    event_type: Annotated[str | None, typer.Option("--type", help="Only this type, for example agent.started.")] = None,
    after: Annotated[
        int | None,
        typer.Option(min=0, help=f"Begin after this position; without it, with the last {TAIL_EVENTS} of the log."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    stream: Annotated[str | None, typer.Option(help="Only this stream, for example agent-ada.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose events.")] = "default",
    output: OutputOption = Output.table,
) -> None:
    """Print events, one a line; with --output json as CloudEvents."""
    log = Tail(system.part_url(settings(), "read_side"), tenant, event_type, stream)

    async def work() -> None:
        try:
            begin = max(0, await log.head() - TAIL_EVENTS) if after is None else after
            async with aclosing(log.follow(begin) if follow else log.past(begin)) as found:
                async for event in found:
                    _print_event(event, output)
        finally:
            await log.close()

    run(work())


def _print_event(event: CloudEvent, output: Output) -> None:
    if output is Output.json:
        typer.echo(orjson.dumps(event))
        return
    data = orjson.dumps(event.get("data", {})).decode()
    line = f"{event['position']:>9}  {event['time'][:23]}  {event['type']:<28}  {event['subject']}  {data}"
    if stdout.is_terminal:
        stdout.print(line, markup=False, overflow="ellipsis", no_wrap=True)
    else:
        typer.echo(line)


def add_commands(found: Iterable[EntryPoint]) -> None:
    """Add the commands of other sides. One that cannot be loaded says so when it is called, and harms no other."""
    for entry in found:
        try:
            command = entry.load()
        except Exception as broken:
            command = _broken(entry.name, broken)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)


def add_programs(found: Iterable[EntryPoint]) -> None:
    """Add programs of other distributions; each is called with its arguments."""
    for entry in found:
        taking = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command(
            entry.name,
            help=_PROGRAMS_HELP.get(entry.name, "Another program of Foldwork; its own --help tells more."),
            context_settings=taking,
            add_help_option=False,
        )(_program(entry))


def _program(entry: EntryPoint) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        try:
            program = entry.load()
        except Exception as broken:
            fail(f"The command `{entry.name}` cannot be loaded: {type(broken).__name__}: {broken}")
        program(context.args)

    return command


def _broken(name: str, cause: Exception) -> Callable[[], None]:
    def command() -> None:
        fail(f"The command `{name}` cannot be loaded: {type(cause).__name__}: {cause}")

    command.__doc__ = "(cannot be loaded)"
    return command


def main() -> None:
    add_commands(entry_points(group=COMMANDS))
    add_programs(entry_points(group=PROGRAMS))
    app()
