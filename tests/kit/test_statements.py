"""What the reference says of calls and processes and none of its examples shows, on the running system."""

import pytest

from tests.kit.example import Refused, Statement
from tests.kit.outside import Outside
from tests.kit.playing import compare
from tests.kit.statements_of_access import ACCESS
from tests.kit.statements_of_agents import AGENTS
from tests.kit.statements_of_calls import STATEMENTS as OF_CALLS
from tests.kit.statements_of_documents import STATEMENTS as OF_DOCUMENTS
from tests.kit.system import Workflows
from tests.write_side.dsl_case import HEAD, definition

pytestmark = pytest.mark.servers

CHILD = """
document: {dsl: 1.0.3, namespace: tests, name: child, version: 1.0.0}
input: {schema: {document: {properties: {id: {type: integer}}}}}
do: [{a: {set: {got: '${ .id }'}}}]
"""
PARENT = "do: [{r: {run: {workflow: {namespace: tests, name: child, version: 1.0.0, input: {id: '${ .id }'}}}}}]"


@pytest.mark.parametrize("statement", [*OF_CALLS, *OF_DOCUMENTS, *ACCESS, *AGENTS], ids=str)
class TestAStatement:
    def test_holds_on_the_running_system(self, workflows: Workflows, outside: Outside, statement: Statement) -> None:
        if isinstance(statement.plays, Refused):
            assert workflows.refused(HEAD + statement.definition) == [statement.plays.pointer]
            return
        workflows.register(HEAD + statement.definition)
        run = workflows.start(definition(statement.definition)["document"], statement.plays.given)
        compare(run, statement.plays, outside.asked)


class TestAWorkflow:
    def test_is_run_as_it_was_registered(self, workflows: Workflows) -> None:
        documents = [
            {"dsl": "1.0.3", "namespace": namespace, "name": name, "version": version}
            for namespace, name, version in (
                ("a", "w", "1.0.0"),
                ("a", "w", "1.1.0"),
                ("a", "x", "1.0.0"),
                ("b", "w", "1.0.0"),
            )
        ]
        for document in documents:
            task = {"set": {"of": "${ $workflow.definition.document }"}}
            workflows.register({"document": document, "do": [{"tell": task}]})
        runs = [workflows.start(document, None) for document in documents]
        assert [run.ended()["output"]["of"] for run in runs] == documents
        found = [(run.detail()["workflow_id"], run.detail()["workflow_version"]) for run in runs]
        assert found == [("a.w", "1.0.0"), ("a.w", "1.1.0"), ("a.x", "1.0.0"), ("b.w", "1.0.0")]


class TestAChild:
    def test_has_its_input_checked_against_its_own_schema(self, workflows: Workflows) -> None:
        workflows.register(CHILD)
        workflows.register(HEAD + PARENT)
        document = definition(PARENT)["document"]
        assert workflows.start(document, {"id": 7}).ended()["output"] == {"got": 7}
        found = workflows.start(document, {"id": "x"}).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 400)
        assert found["error"]["type"].endswith("/errors/validation")
