"""Runs that are parts of other runs, told as stories."""

from unittest.mock import ANY

import pytest

from events.run import RunCancelled, RunCancelRequested, RunCompleted, RunFaulted
from events.run_compensation import RunCompensated, RunCompensationSkipped, RunCompensationStarted, RunParked
from events.run_parts import ParentTask, RunAwaited, UndoingAwaited
from infra.patterns.saga import Ask
from sagas.run_waits import Refused
from sagas.start_child_runs_on_task import (
    CANCELLED,
    NO_LONGER_WANTED,
    START_CHILD_RUNS_ON_TASK,
    UNDONE,
    ChildRuns,
    NothingToUndo,
)
from tests.sagas.run_stories import answer, cancelled, error, fail, faulted, forked, node, task
from write_side.run_commands import (
    CancelRun,
    CompensateRun,
    RetryRunCompensation,
    RunAlreadyUndone,
    RunUnknown,
    StartChildRun,
)

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
    if compensate:
        return CompensateRun(run_id="p.3", reason=NO_LONGER_WANTED)
    return CancelRun(run_id="p.3", reason=NO_LONGER_WANTED)


def undo(task_number):
    return Ask(CompensateRun(run_id="p.3", reason=UNDONE), NothingToUndo("p", task_number))


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
        undoing.then(undo(8))

    def test_answers_when_it_is(self, undoing):
        undoing.given("run-p.3", RunCompensated()).then(answer("p", 8))
        assert undoing.state == ChildRuns()

    def test_goes_on_although_its_parent_is_terminated(self, undoing):
        undoing.given("run-p", cancelled(8)).then_nothing().given("run-p.3", RunCompensated()).then_nothing()
        assert undoing.state == ChildRuns()

    @pytest.mark.parametrize("code", [RunAlreadyUndone().code, RunUnknown().code])
    def test_answers_if_it_has_been_or_never_began(self, code):
        assert NothingToUndo("p", 8)(code, "no") == answer("p", 8).command.model_copy(update={"at": ANY})

    def test_fails_if_it_was_left_as_it_was(self):
        refused = NothingToUndo("p", 8)("run-left-as-it-was", "no")
        assert refused.error == error("runtime", 500, detail="no (run-left-as-it-was)")

    def test_is_asked_what_it_undid_if_it_is_cancelled(self, undoing):
        undoing.given("run-p.3", RunCancelled()).then(undo(8))
        assert undoing.state == ChildRuns()

    def test_is_waited_for_if_it_was_given_up_and_completes_meanwhile(self, child):
        child.given("run-p", cancelled(3)).given("run-p", task(8, UNDO)).then(undo(8))
        child.given("run-p.3", RunCompleted(output=1)).then_nothing()
        child.given("run-p.3", RunCompensated()).then(answer("p", 8))
        assert child.state == ChildRuns()


class TestAChildThatIsParked:
    STUCK = RunParked(of=1, error=OWN_ERROR)

    @pytest.fixture
    def parked(self, child):
        child.given("run-p.3", RunCompleted(output=1)).given("run-p", task(8, UNDO))
        return child.given("run-p.3", self.STUCK)

    def test_has_the_run_parked_that_undoes_it(self, parked):
        parked.then(fail("p", 8, OWN_ERROR))

    def test_has_that_run_go_on_once_it_is_undone(self, parked):
        parked.given("run-p.3", RunCompensated()).then(RetryRunCompensation(run_id="p"))
        assert parked.state == ChildRuns()

    def test_is_undone_again_with_that_run(self, parked):
        parked.given("run-p", task(9, UNDO)).then(undo(9))
        parked.given("run-p.3", RunCompensated()).then(answer("p", 9))
        assert parked.state == ChildRuns()

    @pytest.mark.parametrize("end", [RunCompensationSkipped(of=3), RunCancelled()])
    def test_is_nothing_to_a_run_that_has_left_it_behind(self, parked, end):
        parked.given("run-p", end).then_nothing()
        assert parked.state == ChildRuns()
        parked.given("run-p.3", RunCompensated()).then_nothing()

    @pytest.mark.parametrize(("why", "failed"), [(OWN_ERROR, OWN_ERROR), (None, lost())])
    def test_fails_the_task_that_waits_for_its_end_for_its_own_reason(self, child, why, failed):
        child.given("run-p.3", RunCompensationStarted(error=why), self.STUCK)
        child.then(fail("p", 3, failed).model_copy(update={"given_up": "p.3"}))

    def test_has_that_run_parked_at_once_when_it_comes_to_undo_it(self, child):
        child.given("run-p.3", self.STUCK).given("run-p", faulted(3, "runtime")).then_nothing()
        child.given("run-p", task(8, UNDO)).then(fail("p", 8, OWN_ERROR))
        child.given("run-p.3", RunCompensated()).then(RetryRunCompensation(run_id="p"))
        assert child.state == ChildRuns()

    def test_is_waited_for_if_its_error_would_be_caught(self, child):
        child.given("run-p.3", RunCompensationStarted(error=OWN_ERROR), self.STUCK)
        child.given("run-p.3", RunCompensated(error=OWN_ERROR)).then(fail("p", 3, OWN_ERROR))
        assert child.state == ChildRuns()
