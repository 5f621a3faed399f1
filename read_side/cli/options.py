"""What several commands take: whose things they are about, who asks, how to print, and JSON from the command line or a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from infra import status as system
from infra.adapters.document_text import TEXT_BYTES_MAX, parse_document
from infra.console import Output, settings
from infra.errors import Rejection
from read_side.cli.client import Client

JSON, YAML = "application/json", "application/yaml"

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose.")]
ActorOption = Annotated[
    str | None, typer.Option("--actor", help="Who asks, as the log is to say; without it, anonymous.")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table or json")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", help="name=value; may be given several times.")]


def client(tenant: str, actor: str | None = None, groups: Sequence[str] = ()) -> Client:
    """A client of the system that runs here, or that the settings name."""
    given = settings()
    return Client(system.part_url(given, "write_side"), system.part_url(given, "read_side"), tenant, actor, groups)


def media_type_of(path: Path) -> str:
    """What a document is written in, by its file's name; YAML also reads what is JSON."""
    return JSON if path.suffix.lower() == ".json" else YAML


def read_json(option: str, text: str) -> JsonValue:
    """The value of an option: JSON, or `@FILE` with JSON or YAML. Raises BadParameter."""
    try:
        if not text.startswith("@"):
            return cast(JsonValue, parse_document(text.encode(), JSON))
        path = Path(text[1:])
        return cast(JsonValue, parse_document(read_document(path), media_type_of(path)))
    except (Rejection, OSError) as wrong:
        raise typer.BadParameter(
            f"{wrong} Give JSON, for example '{{\"a\": 1}}', or @FILE.", param_hint=option
        ) from wrong


def read_document(path: Path) -> bytes:
    """A file's text, not much more of it than a document may have."""
    with path.open("rb") as file:
        return file.read(TEXT_BYTES_MAX + 1)


def read_labels(texts: list[str] | None) -> dict[str, str]:
    """Labels by their names. Raises BadParameter."""
    pairs = [text.partition("=") for text in texts or ()]
    if not all(name and equals for name, equals, _ in pairs):
        raise typer.BadParameter("A label is written name=value.", param_hint="--label")
    return {name: value for name, _, value in pairs}
