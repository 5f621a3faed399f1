"""The specification's conformance kit against the running system: the definitions, inputs and expectations are those of its features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_bdd import given, parsers, scenarios, then, when

from tests.kit.specification import ABSENT, parsed, specification
from tests.kit.system import Run, Workflows

FEATURES = specification()
SCENARIOS = 21
if FEATURES is None:
    pytest.skip(ABSENT, allow_module_level=True)

pytestmark = [pytest.mark.data, pytest.mark.servers]

scenarios(str(FEATURES / "ctk" / "features"))


@dataclass(slots=True)
class Scenario:
    """What the steps of a scenario tell each other."""

    workflows: Workflows
    document: Mapping[str, Any] | None = None
    given: Any = None
    run: Run | None = None

    def detail(self) -> dict[str, Any]:
        assert self.run is not None
        return self.run.ended()

    def output(self) -> Any:
        return self.detail()["output"]

    def begun(self) -> list[str]:
        assert self.run is not None
        return self.run.begun()


@pytest.fixture
def scenario(workflows: Workflows) -> Scenario:
    return Scenario(workflows)


def at(value: Any, path: str) -> Any:
    """What stands at a path of names, `error.type`; raises LookupError."""
    for name in path.split("."):
        if not isinstance(value, dict):
            raise LookupError(path)
        value = value[name]
    return value


@given("a workflow with definition:")
def _(scenario: Scenario, docstring: str) -> None:
    scenario.workflows.register(docstring)
    definition = parsed(docstring)
    assert isinstance(definition, dict)
    scenario.document = definition["document"]


@given("given the workflow input is:")
def _(scenario: Scenario, docstring: str) -> None:
    scenario.given = parsed(docstring)


@when("the workflow is executed")
def _(scenario: Scenario) -> None:
    assert scenario.document is not None
    scenario.run = scenario.workflows.start(scenario.document, scenario.given)


@then("the workflow should complete")
def _(scenario: Scenario) -> None:
    found = scenario.detail()
    assert (found["status"], found["error"]) == ("completed", None)


@then("the workflow should complete with output:")
def _(scenario: Scenario, docstring: str) -> None:
    found = scenario.detail()
    assert (found["status"], found["error"]) == ("completed", None)
    assert found["output"] == parsed(docstring)


@then("the workflow should fault")
def _(scenario: Scenario) -> None:
    assert scenario.detail()["status"] == "faulted"


@then("the workflow should fault with error:")
def _(scenario: Scenario, docstring: str) -> None:
    found, expected = scenario.detail(), parsed(docstring)
    assert found["status"] == "faulted"
    assert isinstance(expected, dict)
    assert {name: found["error"].get(name) for name in expected} == expected


@then(parsers.re(r"the workflow output should have properties (?P<names>'.+')"))
def _(scenario: Scenario, names: str) -> None:
    output = scenario.output()
    for name in names.split(","):
        at(output, name.strip().strip("'"))


@then(parsers.re(r"the workflow output should have a '(?P<name>[^']+)' property with value:"))
def _(scenario: Scenario, name: str, docstring: str) -> None:
    assert at(scenario.output(), name) == parsed(docstring)


@then(parsers.re(r"the workflow output should have a '(?P<name>[^']+)' property containing (?P<count>\d+) items"))
def _(scenario: Scenario, name: str, count: str) -> None:
    assert len(at(scenario.output(), name)) == int(count)


@then(parsers.re(r"(?P<task>\w+) should run first"))
def _(scenario: Scenario, task: str) -> None:
    assert scenario.begun()[0] == task


@then(parsers.re(r"(?P<task>\w+) should run last"))
def _(scenario: Scenario, task: str) -> None:
    assert scenario.begun()[-1] == task


@then(parsers.re(r"(?P<task>\w+) should run before (?P<other>\w+)"))
def _(scenario: Scenario, task: str, other: str) -> None:
    begun = scenario.begun()
    assert begun.index(task) < begun.index(other)


@then(parsers.re(r"(?P<task>\w+) should run after (?P<other>\w+)"))
def _(scenario: Scenario, task: str, other: str) -> None:
    begun = scenario.begun()
    assert begun.index(task) > begun.index(other)


class TestTheKit:
    def test_has_all_its_scenarios_here(self) -> None:
        """None is lost on the way from its files to tests, as two of one name would be."""
        assert sum(name.startswith("test_") for name in globals()) == SCENARIOS
