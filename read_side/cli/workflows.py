"""`foldwork workflows`: make definitions known, and say which version runs are started from."""

from pathlib import Path
from typing import Annotated

import typer

from infra.adapters.document_text import parse_document
from infra.console import Output, fail, print_json, print_table, run, stdout
from projections.workflow_directory import WorkflowRow
from read_side.cli.client import Accepted, JsonObject, path_of
from read_side.cli.options import ActorOption, OutputOption, TenantOption, client, media_type_of, read_document

LISTED = 50
LISTED_MAX = 10_000
COLUMNS = ("workflow_id", "active_version", "versions", "title", "updated_at")

workflows = typer.Typer(help="Definitions of workflows.", no_args_is_help=True, pretty_exceptions_enable=False)

WorkflowArgument = Annotated[str, typer.Argument(help="For example travel.book-trip.")]
VersionArgument = Annotated[str, typer.Argument(help="For example 1.0.0.")]


@workflows.command()
def register(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The definition, YAML or JSON.")],
    activate_it: Annotated[bool, typer.Option("--activate", help="Start runs from this version from now on.")] = False,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Make a version of a workflow known, and print the workflow's id."""
    try:
        text = read_document(file)
    except OSError as unreadable:
        fail(f"{file} cannot be read: {unreadable}")

    async def work() -> Accepted:
        async with client(tenant, actor) as api:
            accepted = await api.send("/v1/workflows", text, media_type=media_type_of(file))
            if activate_it:
                version = _version_in(text, file)
                return await api.send(
                    path_of("workflows", accepted.entity_id, "activate"), {"workflow_version": version}
                )
            return accepted

    accepted = run(work())
    if output is Output.json:
        print_json({"workflow_id": accepted.entity_id, **accepted.model_dump()})
    else:
        stdout.print(accepted.entity_id, markup=False, soft_wrap=True)


def _version_in(text: bytes, file: Path) -> str:
    """The version that a document, which was found to be in order, says it is."""
    document = parse_document(text, media_type_of(file))
    assert isinstance(document, dict)
    return str(document["document"]["version"])


@workflows.command("list")
def list_workflows(
    namespace: Annotated[str | None, typer.Option(help="Only those of this namespace.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many.")] = LISTED,
    tenant: TenantOption = "default",
    output: OutputOption = Output.table,
) -> None:
    """Show workflows with their versions."""
    query = {} if namespace is None else {"namespace": namespace}

    async def work() -> list[JsonObject]:
        async with client(tenant) as api:
            return [row async for row, _ in api.rows("/v1/workflows", query, limit)]

    found = run(work())
    if output is Output.json:
        print_json(found)
    else:
        print_table("Workflows", [_columns(WorkflowRow.model_validate(row)) for row in found], COLUMNS)


def _columns(row: WorkflowRow) -> dict[str, object]:
    marks = {"deprecated": " (deprecated)"}
    versions = ", ".join(each.workflow_version + marks.get(each.status, "") for each in row.versions)
    return {**row.model_dump(include=set(COLUMNS)), "versions": versions, "updated_at": row.updated_at}


@workflows.command()
def activate(
    workflow_id: WorkflowArgument,
    workflow_version: VersionArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Have runs started from this version, if they name none."""
    accepted = _send(workflow_id, "activate", workflow_version, tenant, actor)
    _tell(accepted, f"Runs of {workflow_id} are started from {workflow_version} from now on.", output)


@workflows.command()
def deprecate(
    workflow_id: WorkflowArgument,
    workflow_version: VersionArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Start no more runs from this version; those under way go on."""
    accepted = _send(workflow_id, "deprecate", workflow_version, tenant, actor)
    _tell(accepted, f"No run of {workflow_id} is started from {workflow_version} any more.", output)


def _send(workflow_id: str, verb: str, version: str, tenant: str, actor: str | None) -> Accepted:
    async def work() -> Accepted:
        async with client(tenant, actor) as api:
            return await api.send(path_of("workflows", workflow_id, verb), {"workflow_version": version})

    return run(work())


def _tell(accepted: Accepted, message: str, output: Output) -> None:
    if output is Output.json:
        print_json(accepted.model_dump())
    else:
        stdout.print(message, markup=False, soft_wrap=True)
