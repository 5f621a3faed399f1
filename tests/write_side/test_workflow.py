"""The decider of workflows: versions that never change, one of them active."""

from time import perf_counter

import pytest

from events.workflow import WorkflowActivated, WorkflowDeprecated, WorkflowRegistered
from tests.sizes import examples, is_fast
from write_side import workflow
from write_side.definition.digest import digest
from write_side.definition.expressions import EXPRESSIONS_MAX
from write_side.definition.reading import InvalidDefinition, read_definition
from write_side.workflow import (
    TASKS_MAX,
    WORKFLOW,
    ActivateWorkflow,
    DeprecateWorkflow,
    RegisterWorkflow,
    WorkflowUnknown,
    WorkflowVersionIsDeprecated,
    WorkflowVersionTaken,
    WorkflowVersionUnknown,
    check_definition,
)


def document(version="1.0.0", greeting="hello"):
    return {
        "document": {
            "dsl": "1.0.3",
            "namespace": "travel",
            "name": "book",
            "version": version,
            "title": "Book a trip",
            "summary": "Flight, hotel and car.",
        },
        "do": [{"greet": {"set": {"greeting": greeting}}}],
    }


def register(version="1.0.0", greeting="hello"):
    return RegisterWorkflow(definition=document(version, greeting))


def registered(version="1.0.0", greeting="hello"):
    definition = document(version, greeting)
    return WorkflowRegistered(
        namespace="travel",
        name="book",
        workflow_version=version,
        title="Book a trip",
        summary="Flight, hotel and car.",
        digest=digest(definition),
        definition=definition,
    )


def activate(version="1.0.0"):
    return ActivateWorkflow(workflow_id="travel.book", workflow_version=version)


def deprecate(version="1.0.0"):
    return DeprecateWorkflow(workflow_id="travel.book", workflow_version=version)


ACTIVATED = WorkflowActivated(workflow_version="1.0.0")
DEPRECATED = WorkflowDeprecated(workflow_version="1.0.0")


class TestRegistering:
    def test_names_the_workflow_by_its_document(self):
        assert WORKFLOW.stream_of(register()) == "workflow-travel.book"

    def test_keeps_the_definition_and_its_digest(self, given):
        given(WORKFLOW).when(register()).then(registered())

    def test_adds_a_version(self, given):
        given(WORKFLOW, registered()).when(register("1.1.0")).then(registered("1.1.0"))

    def test_the_same_again_changes_nothing(self, given):
        given(WORKFLOW, registered()).when(register()).then()

    def test_never_changes_a_version(self, given):
        given(WORKFLOW, registered()).when(register(greeting="bye")).then_refused(WorkflowVersionTaken)

    def test_takes_every_name_that_the_language_has(self, given):
        name, version = "A" * 63, "1.0.0-" + "a" * 94
        definition = document()
        definition["document"] |= {"namespace": name, "name": name, "version": version}
        command = RegisterWorkflow(definition=definition)
        assert WORKFLOW.stream_of(command) == f"workflow-{name}.{name}"
        (event,) = given(WORKFLOW).when(command).events
        assert event.workflow_version == version

    def test_refuses_a_version_that_is_too_long(self):
        with pytest.raises(InvalidDefinition) as refused:
            RegisterWorkflow(definition=document("1.0.0-" + "a" * 95))
        assert [error["pointer"] for error in refused.value.details["errors"]] == ["/document/version"]

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"do": [{"greet": {"set": {"a": 1}, "thn": "end"}}]}, "/do/0/greet"),
            ({"do": [{"greet": {"set": {"a": 1}, "then": "nowhere"}}]}, "/do/0/greet/then"),
            ({"do": {}}, "/do"),
        ],
    )
    def test_needs_a_definition_that_is_understood(self, change, pointer):
        with pytest.raises(InvalidDefinition) as refused:
            RegisterWorkflow(definition={**document(), **change})
        assert any(error["pointer"].startswith(pointer) for error in refused.value.details["errors"])


class TestActivating:
    def test_makes_a_version_the_active_one(self, given):
        given(WORKFLOW, registered()).when(activate()).then(ACTIVATED)

    def test_changes_nothing_where_it_is(self, given):
        given(WORKFLOW, registered(), ACTIVATED).when(activate()).then()

    def test_may_go_back_to_an_older_version(self, given):
        newer = WorkflowActivated(workflow_version="1.1.0")
        given(WORKFLOW, registered(), registered("1.1.0"), ACTIVATED, newer).when(activate()).then(ACTIVATED)

    def test_needs_a_version_that_is_known_and_in_use(self, given):
        given(WORKFLOW).when(activate()).then_refused(WorkflowUnknown, 404)
        given(WORKFLOW, registered()).when(activate("2.0.0")).then_refused(WorkflowVersionUnknown, 404)
        given(WORKFLOW, registered(), DEPRECATED).when(activate()).then_refused(WorkflowVersionIsDeprecated)


class TestDeprecating:
    def test_gives_a_version_up(self, given):
        given(WORKFLOW, registered(), ACTIVATED).when(deprecate()).then(DEPRECATED)
        given(WORKFLOW, registered(), ACTIVATED, DEPRECATED).when(deprecate()).then()

    def test_leaves_no_version_active_if_it_was_that_one(self):
        state = WORKFLOW.fold([registered(), registered("1.1.0"), ACTIVATED, DEPRECATED])
        assert state.active is None
        assert WORKFLOW.fold([registered(), registered("1.1.0"), ACTIVATED]).active == "1.0.0"

    def test_needs_a_version_that_is_known(self, given):
        given(WORKFLOW).when(deprecate()).then_refused(WorkflowUnknown, 404)
        given(WORKFLOW, registered()).when(deprecate("2.0.0")).then_refused(WorkflowVersionUnknown, 404)


class TestADefinition:
    """What one may hold, so that nobody waits long for its verdict."""

    def test_with_too_many_tasks_is_refused(self, monkeypatch):
        most = examples(TASKS_MAX)
        monkeypatch.setattr(workflow, "TASKS_MAX", most)
        tasks = [{f"t{place}": {"set": {"a": 1}}} for place in range(most + 1)]
        with pytest.raises(InvalidDefinition) as refused:
            RegisterWorkflow(definition={**document(), "do": tasks})
        detail = f"holds {most + 1} tasks; a workflow has at most {most}"
        assert refused.value.details["errors"] == [{"pointer": "/do", "detail": detail}]

    def test_with_too_many_expressions_is_refused_where_they_begin_to_be(self):
        # To compile as many as a definition may hold takes a second and more.
        most = 20 if is_fast() else EXPRESSIONS_MAX
        values = [f"${{ {place} }}" for place in range(most + 1)]
        definition = {**document(), "do": [{"a": {"set": {"values": [*values, values[-1]]}}}]}
        with pytest.raises(InvalidDefinition) as refused:
            check_definition(read_definition(definition), most) if is_fast() else RegisterWorkflow(
                definition=definition
            )
        pointers = [error["pointer"] for error in refused.value.details["errors"]]
        assert pointers == [f"/do/0/a/set/values/{most}", f"/do/0/a/set/values/{most + 1}"]

    def test_may_hold_one_expression_many_times(self):
        values = ["${ .a }"] * (2 * EXPRESSIONS_MAX)
        RegisterWorkflow(definition={**document(), "do": [{"a": {"set": {"values": values}}}]})

    def test_has_all_lists_that_undo_its_tasks_looked_at_in_one_go(self):
        many = examples(300)
        undone = {"set": {"a": 1}, "metadata": {"compensate": [{"undo": {"set": {"a": 2}}}]}}
        functions = {f"f{place}": {"set": {"a": place}} for place in range(many)}
        started = perf_counter()
        tasks = [{f"t{place}": undone} for place in range(many)]
        RegisterWorkflow(definition={**document(), "use": {"functions": functions}, "do": tasks})
        assert perf_counter() - started < 3
