"""Runs that are parts of other runs, told as stories."""

import pytest

from events.run import RunCancelled, RunCancelRequested, RunCompleted, RunFaulted
from events.run_compensation import RunCompensated
from events.run_parts import ParentTask, RunAwaited, UndoingAwaited
from infra.patterns.saga import Ask
from sagas.run_waits import Refused
from sagas.start_child_runs_on_task import CANCELLED, NO_LONGER_WANTED, START_CHILD_RUNS_ON_TASK, ChildRuns
from tests.sagas.run_stories import answer, cancelled, error, fail, faulted, forked, node, task
from write_side.run_commands import CancelRun, CompensateRun, StartChildRun

WANTED = RunAwaited(run_id="p.3", workflow_id="test.child", workflow_version="1.2.3", input={"a": 1})
UNDO = UndoingAwaited(run_id="p.3")
OWN_ERROR = error("runtime", 500, "Own", "its own")


def start(run_id="p.3", parent=("p", 3)):
    above = None if parent is None else ParentTask(run_id=parent[0], task=parent[1])
    command = StartChildRun(
        run_id=run_id, workflow_id="test.child", workflow_version="1.2.3", input={"a": 1}, parent=above
    )
    return Ask(command, Refused("p", 3))


def cancel(compensate):
    return CancelRun(run_id="p.3", compensate=compensate, reason=NO_LONGER_WANTED)


def lost(detail=None):
    return error("runtime", 500, CANCELLED, detail)


@pytest.fixture
def runs(story):
    return story(START_CHILD_RUNS_ON_TASK)


@pytest.fixture
def child(runs):
    return runs.given("run-p", task(3, WANTED))


class TestATaskForARun:
    def test_has_it_started(self, child):
        child.then(start())

    def test_has_it_started_without_a_parent_if_it_does_not_wait(self, runs):
        runs.given("run-p", task(3, WANTED.model_copy(update={"awaited": False}))).then(start(parent=None))
        assert runs.state == ChildRuns()
        runs.given("run-p.3", RunCompleted(output=1)).then_nothing()

    def test_has_it_started_in_a_forked_run(self, runs):
        runs.given("run-p", forked(node(3, WANTED))).then(start())


class TestTheEndOfAChild:
    def test_is_the_answer_with_its_output(self, child):
        child.given("run-p.3", RunCompleted(output={"b": 2})).then(answer("p", 3, {"b": 2}))
        assert child.state == ChildRuns()

    @pytest.mark.parametrize(
        ("end", "failed"),
        [
            (RunFaulted(error=OWN_ERROR), OWN_ERROR),
            (RunCompensated(error=OWN_ERROR), OWN_ERROR),
            (RunCompensated(), lost()),
            (RunCancelled(reason="why"), lost("why")),
        ],
    )
    def test_is_an_error_if_it_did_not_complete(self, child, end, failed):
        child.given("run-p.3", end).then(fail("p", 3, failed))
        assert child.state == ChildRuns()

    def test_comes_once_even_if_a_failed_child_goes_on(self, child):
        child.given("run-p.3", RunFaulted(error=OWN_ERROR)).given("run-p.3", RunCompleted(output=1)).then_nothing()

    def test_of_a_run_that_nobody_waits_for_leads_to_nothing(self, child):
        child.given("run-other", RunCompleted(output=1)).then_nothing()


class TestATaskThatWaitsNoMore:
    @pytest.mark.parametrize("end", [cancelled(3), faulted(3, "timeout")])
    def test_has_its_child_undo_what_it_did(self, child, end):
        child.given("run-p", end).then(cancel(compensate=True))
        child.given("run-p.3", RunCompensated()).then_nothing()
        assert child.state == ChildRuns()

    @pytest.mark.parametrize("compensate", [True, False])
    def test_has_its_child_cancelled_as_its_run_was(self, child, compensate):
        child.given("run-p", RunCancelRequested(compensate=compensate)).then_nothing()
        child.given("run-p", cancelled(3)).then(cancel(compensate))
        child.given("run-p", RunCancelled()).then_nothing()
        assert child.state == ChildRuns()

    def test_has_no_child_if_that_was_refused(self, child):
        child.given("run-p", faulted(3, "configuration")).then_nothing()
        assert child.state == ChildRuns()


class TestAChildThatIsUndone:
    @pytest.fixture
    def undoing(self, child):
        return child.given("run-p.3", RunCompleted(output=1)).given("run-p", task(8, UNDO))

    def test_is_told(self, undoing):
        undoing.then(Ask(CompensateRun(run_id="p.3"), Refused("p", 8)))

    def test_answers_when_it_is(self, undoing):
        undoing.given("run-p.3", RunCompensated()).then(answer("p", 8))
        assert undoing.state == ChildRuns()

    def test_goes_on_although_its_parent_is_terminated(self, undoing):
        undoing.given("run-p", cancelled(8)).then_nothing().given("run-p.3", RunCompensated()).then_nothing()
        assert undoing.state == ChildRuns()

    def test_fails_if_it_is_terminated_and_with_each_further_attempt(self, undoing):
        undoing.given("run-p.3", RunCancelled()).then(fail("p", 8, lost()))
        undoing.given("run-p", task(9, UNDO)).then(fail("p", 9, lost()))
        undoing.given("run-p", RunCompensated()).then_nothing()
        assert undoing.state == ChildRuns()
