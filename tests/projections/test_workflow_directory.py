"""The workflow directory, and the definitions of all versions."""

import pytest

from events.workflow import WorkflowActivated, WorkflowDeprecated, WorkflowRegistered
from projections.workflow_definitions import WORKFLOW_DEFINITIONS
from projections.workflow_directory import WORKFLOW_DIRECTORY

DIGEST = "sha256:" + "0" * 64


def registered(version="1.0.0", title=None):
    definition = {"document": {"version": version, "note": None}, "do": []}
    return WorkflowRegistered(
        namespace="travel", name="book", workflow_version=version, title=title, digest=DIGEST, definition=definition
    )


@pytest.fixture
def directory(read_model):
    return read_model(WORKFLOW_DIRECTORY)


def statuses(directory):
    return {each.workflow_version: each.status for each in directory.row("acme", "travel.book").versions}


class TestTheWorkflowDirectory:
    def test_has_one_row_for_all_versions_of_a_workflow(self, directory):
        directory.given("acme", "workflow-travel.book", registered("1.0.0", "Old"), registered("1.1.0", "New"))
        directory.given("other", "workflow-travel.book", registered())
        directory.then("acme", "travel.book", namespace="travel", name="book", title="New", active_version=None)
        directory.then("acme", "travel.book", created_at=directory.at(1), updated_at=directory.at(2), version=2)
        assert statuses(directory) == {"1.0.0": "registered", "1.1.0": "registered"}
        assert len(directory.rows) == 2

    def test_shows_the_one_version_that_is_active(self, directory):
        directory.given("acme", "workflow-travel.book", registered("1.0.0"), registered("1.1.0"))
        directory.given("acme", "workflow-travel.book", WorkflowActivated(workflow_version="1.0.0"))
        directory.given("acme", "workflow-travel.book", WorkflowActivated(workflow_version="1.1.0"))
        directory.then("acme", "travel.book", active_version="1.1.0")
        assert statuses(directory) == {"1.0.0": "registered", "1.1.0": "active"}

    def test_shows_what_is_deprecated(self, directory):
        directory.given("acme", "workflow-travel.book", registered("1.0.0"), registered("1.1.0"))
        directory.given("acme", "workflow-travel.book", WorkflowActivated(workflow_version="1.1.0"))
        directory.given("acme", "workflow-travel.book", WorkflowDeprecated(workflow_version="1.0.0"))
        directory.then("acme", "travel.book", active_version="1.1.0")
        directory.given("acme", "workflow-travel.book", WorkflowDeprecated(workflow_version="1.1.0"))
        directory.then("acme", "travel.book", active_version=None)
        assert set(statuses(directory).values()) == {"deprecated"}


class TestTheDefinitions:
    def test_are_kept_word_for_word(self, read_model):
        definitions = read_model(WORKFLOW_DEFINITIONS)
        definitions.given("acme", "workflow-travel.book", registered("1.0.0", "Old"), registered("1.1.0"))
        definitions.then("acme", "travel.book", "1.0.0", title="Old", digest=DIGEST, registered_at=definitions.at(1))
        definitions.then("acme", "travel.book", "1.1.0", definition=registered("1.1.0").definition, position=2)
