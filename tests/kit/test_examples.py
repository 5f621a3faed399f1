"""The examples of the specification on the running system: each runs to its end, or is refused, as the table says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.supervisor import Supervisor
from tests.kit.example import Own, Plays, Said
from tests.kit.examples_of_calls import CALLS
from tests.kit.examples_of_tasks import TASKS
from tests.kit.outside import Outside
from tests.kit.playing import begin, compare
from tests.kit.specification import ABSENT, specification
from tests.kit.system import Run, Workflows

EXAMPLES: dict[str, Said] = {**TASKS, **CALLS}
PLAYED = {name: said for name, said in EXAMPLES.items() if isinstance(said, Plays)}
"""What can be played by the table alone; the last ones are started first, since they wait for long."""

pytestmark = [pytest.mark.data, pytest.mark.servers]


@pytest.fixture(scope="module")
def slow(system: Supervisor) -> Iterator[dict[str, Run]]:
    """The examples that wait, all under way, each for itself."""
    apis = {
        name: Workflows(system.url("write_side"), system.url("read_side"))
        for name, said in PLAYED.items()
        if said.waits_s
    }
    yield {name: begin(workflows, name, PLAYED[name].given) for name, workflows in apis.items()}
    for workflows in apis.values():
        workflows.close()


class TestAnExample:
    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("name", sorted(PLAYED, key=lambda name: PLAYED[name].waits_s))
    def test_runs_to_its_end(self, workflows: Workflows, outside: Outside, slow: dict[str, Run], name: str) -> None:
        said = PLAYED[name]
        run = slow.get(name) or begin(workflows, name, said.given)
        compare(run, said, outside.asked)


class TestTheTable:
    def test_has_every_example_and_no_other(self) -> None:
        folder = specification()
        if folder is None:
            pytest.skip(ABSENT)
        assert sorted(EXAMPLES) == sorted(path.stem for path in (folder / "examples").glob("*.yaml"))
        assert len(EXAMPLES) == 68

    def test_names_tests_that_there_are(self) -> None:
        trees = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
        there = {
            node.name
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert {said.test for said in EXAMPLES.values() if isinstance(said, Own)} - there == set()
