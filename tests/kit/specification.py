"""The folder of the Open Workflow Specification, where it is."""

from pathlib import Path

import pytest

from infra.adapters.document_text import parse_document
from read_side.demo.recorded import data_folder

ABSENT = "the Open Workflow Specification is not here: set FOLDWORK_DATA"


def specification() -> Path | None:
    folder = data_folder(None)
    found = folder / "open-workflow" if folder else None
    return found.absolute() if found and found.is_dir() else None


def text_of(example: str) -> str:
    """An example of the specification; a test that asks for it is left out where the specification is not."""
    folder = specification()
    if folder is None:
        pytest.skip(ABSENT)
    return (folder / "examples" / f"{example}.yaml").read_text()


def parsed(text: str) -> object:
    """YAML as the command API reads it."""
    return parse_document(text.encode(), "application/yaml")
