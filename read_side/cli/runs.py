"""`foldwork runs`: start runs of workflows, find them, look at them, and operate them."""

from contextlib import AsyncExitStack
from typing import Annotated, get_args

import typer
from pydantic import JsonValue

from infra import status as system
from infra.console import FAILED, Output, print_json, print_table, run, settings, stdout
from infra.tail import Tail
from projections.run_directory import RunRow, RunStatus
from read_side.cli import run_operations as operations
from read_side.cli.client import Accepted, Client, JsonObject
from read_side.cli.options import (
    ActorOption,
    LabelOption,
    OutputOption,
    TenantOption,
    client,
    read_json,
    read_labels,
)
from read_side.cli.run_drawing import show as show_run

LISTED = 50
LISTED_MAX = 10_000
COLUMNS = ("run_id", "workflow", "status", "tasks", "faulted", "started_at", "ended_at")

runs = typer.Typer(help="Runs of workflows.", no_args_is_help=True, pretty_exceptions_enable=False)

FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Draw it until it has ended; exit code 1 unless it completed.")
]


@runs.command()
def start(
    workflow_id: Annotated[str, typer.Argument(help="For example travel.book-trip.")],
    input_text: Annotated[str | None, typer.Option("--input", "-i", help="JSON, or @FILE with JSON or YAML.")] = None,
    workflow_version: Annotated[
        str | None,
        typer.Option(
            "--version",
            help="This version of the workflow; without it, the active one, or the one that was registered last if none is.",
        ),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="An id of your own for the run.")] = None,
    label: LabelOption = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: given again, it starts nothing new.")
    ] = None,
    follow: FollowOption = False,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Start a run of a workflow and print its id."""
    body: JsonObject = {"workflow_id": workflow_id}
    if input_text is not None:
        body["input"] = read_json("--input", input_text)
    if workflow_version is not None:
        body["workflow_version"] = workflow_version
    if run_id is not None:
        body["run_id"] = run_id
    if labels := read_labels(label):
        body["labels"] = dict[str, JsonValue](labels)

    async def begin() -> Accepted:
        async with client(tenant, actor) as api:
            return await api.send("/v1/runs", body, key=key)

    accepted = run(begin())
    if output is Output.table:
        stdout.print(accepted.entity_id, markup=False, soft_wrap=True)
    elif not follow:
        print_json({"run_id": accepted.entity_id, **accepted.model_dump()})
    if follow:
        _show(accepted.entity_id, accepted.position, True, tenant, output)


@runs.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    follow: FollowOption = False,
    tenant: TenantOption = "default",
    output: OutputOption = Output.table,
) -> None:
    """Show a run with the tree of its tasks."""
    _show(run_id, 0, follow, tenant, output)


def _show(run_id: str, position: int, follow: bool, tenant: str, output: Output) -> None:
    async def work() -> str:
        async with AsyncExitStack() as opened:
            api: Client = await opened.enter_async_context(client(tenant))
            tail = None
            if follow:
                tail = Tail(system.part_url(settings(), "read_side"), tenant, stream_id=f"run-{run_id}")
                opened.push_async_callback(tail.close)
            return (await show_run(api, tail, run_id, position, output)).run.status

    status = run(work())
    if follow and status != "completed":
        raise typer.Exit(FAILED)


@runs.command("list")
def list_runs(
    status: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(get_args(RunStatus))}.")] = None,
    workflow_id: Annotated[str | None, typer.Option("--workflow", help="Only runs of this workflow.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Only runs that are part of this run.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="name=value: only runs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many.")] = LISTED,
    tenant: TenantOption = "default",
    output: OutputOption = Output.table,
) -> None:
    """Show runs, newest first."""
    wanted = {"status": status, "workflow_id": workflow_id, "parent_run_id": parent, "label": _label(label)}
    query = {name: value for name, value in wanted.items() if value is not None}

    async def work() -> list[JsonObject]:
        async with client(tenant) as api:
            return [row async for row, _ in api.rows("/v1/runs", query, limit)]

    found = run(work())
    if output is Output.json:
        print_json(found)
    else:
        print_table("Runs", [_columns(RunRow.model_validate(row)) for row in found], COLUMNS)


def _label(text: str | None) -> str | None:
    """As the query API takes it."""
    pairs = read_labels([text]) if text is not None else {}
    return next((f"{name}:{value}" for name, value in pairs.items()), None)


def _columns(row: RunRow) -> dict[str, object]:
    return {
        "run_id": row.run_id,
        "workflow": f"{row.workflow_id} {row.workflow_version}",
        "status": row.status,
        "tasks": row.tasks_started,
        "faulted": row.tasks_faulted,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


for _operation in (
    operations.suspend,
    operations.resume,
    operations.cancel,
    operations.terminate,
    operations.retry,
    operations.fork,
    operations.send,
    operations.approve,
    operations.retry_compensation,
    operations.skip_compensation,
):
    runs.command()(_operation)
