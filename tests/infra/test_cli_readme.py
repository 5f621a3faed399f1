"""What the README promises: two commands, one line each, and a CI that runs exactly the second."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    return [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m pip install")]


class TestTheReadme:
    def test_has_one_line_for_the_demo_and_one_for_the_tests(self) -> None:
        demo, check = commands()
        assert demo.endswith("foldwork demo")
        assert check.endswith("just check")

    @pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", "DECISIONS.md", "infra/settings.py"])
    def test_points_to_files_that_exist(self, name: str) -> None:
        assert f"]({name})" in (ROOT / "README.md").read_text()
        assert (ROOT / name).is_file()


@pytest.mark.outside
class TestTheContinuousIntegration:
    def test_runs_the_test_command_of_the_readme(self, tmp_path: Path) -> None:
        stand_in = tmp_path / "python3"
        stand_in.write_text("#!/bin/sh\nexit 7\n")
        stand_in.chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.run([ROOT / ".ci/run"], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert run.stdout == f"+ {commands()[1]}\n"
        assert run.returncode == 7


class TestTheJustfile:
    def test_has_a_recipe_for_each_process(self) -> None:
        text = (ROOT / "justfile").read_text()
        for module in ("write_side", "read_side", "infra relay", "projections", "sagas"):
            assert f"\n    python -m {module}\n" in text
