"""The demo as a user runs it: an empty folder, one command, and everything as expected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

DEMO_S_MAX = 280


class Comparison(BaseModel):
    name: str
    ok: bool


class Outcome(BaseModel):
    ok: bool
    checks: list[Comparison]
    kills: dict[str, int]

    @property
    def differing(self) -> list[str]:
        return [check.name for check in self.checks if not check.ok]


def run_demo(folder: Path, *arguments: str) -> Outcome:
    """Run it where there is no recorded input."""
    foldwork = "from infra.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOLDWORK_")}
    finished = subprocess.run(
        [sys.executable, "-c", foldwork, "demo", "--output", "json", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(Path.cwd()), "TMPDIR": str(folder)},
        capture_output=True,
        timeout=DEMO_S_MAX,
        check=False,
    )
    assert finished.stdout, finished.stderr.decode()
    outcome = Outcome.model_validate_json(finished.stdout)
    assert finished.returncode == (0 if outcome.ok else 1)
    return outcome


@pytest.mark.servers
@pytest.mark.timeout(DEMO_S_MAX)
class TestTheDemoWithoutRecordedInput:
    def test_finds_what_it_expects_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        outcome = run_demo(tmp_path)
        assert outcome.differing == []
        assert len(outcome.checks) > 30
        assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
@pytest.mark.servers
@pytest.mark.timeout(DEMO_S_MAX)
class TestTheDemoInChaos:
    def test_finds_the_same(self, tmp_path: Path) -> None:
        outcome = run_demo(tmp_path, "--chaos")
        assert outcome.differing == []
        assert sum(outcome.kills.values()) >= 30
