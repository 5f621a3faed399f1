"""The commands of the read side, typed against a small local server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from infra import tail
from read_side.cli.runs import runs
from read_side.cli.workflows import workflows
from tests.read_side.cli.local_api import LocalApi

Foldwork = Callable[..., Result]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalApi]:
    with LocalApi() as api:
        monkeypatch.setenv("FOLDWORK_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("FOLDWORK_COMMAND_PORT", str(api.port))
        monkeypatch.setenv("FOLDWORK_QUERY_PORT", str(api.port))
        monkeypatch.setattr(tail, "RECONNECT_S", 0.01)
        yield api


@pytest.fixture
def foldwork(api: LocalApi) -> Foldwork:
    """Types a command."""
    app = typer.Typer()
    app.add_typer(runs, name="runs")
    app.add_typer(workflows, name="workflows")
    return lambda *arguments: CliRunner().invoke(app, arguments)
