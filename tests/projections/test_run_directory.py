"""The run directory."""

from datetime import timedelta

import pytest

from events.run import (
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFaulted,
    RunForked,
    RunInputFormed,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskStarted,
)
from events.run_compensation import (
    RunCompensated,
    RunCompensationFailed,
    RunCompensationSkipped,
    RunCompensationStarted,
    RunFailing,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import Origin, ParentTask, RunError
from projections.run_directory import RUN_DIRECTORY
from tests.projections.conftest import START

DIGEST = "sha256:" + "0" * 64
NO_CAR = RunError(type="https://example.com/no-car", status=409, title="No car")
NO_ROOM = RunError(type="https://example.com/no-room", status=500)
BEGUN = {"workflow_id": "travel.book", "workflow_version": "1.0.0", "digest": DIGEST, "started_at": START}
UNDOING = RunCompensationStarted(error=NO_CAR)


def started(**fields):
    return RunStarted(**{**BEGUN, **fields})


def task(number, **fields):
    return RunTaskStarted(task=number, reference=f"/do/{number}/x", name="x", kind="do", started_at=START, **fields)


def compensating(attempt=1):
    return RunTaskCompensating(task=9, of=2, attempt=attempt, started_at=START)


@pytest.fixture
def directory(read_model):
    return read_model(RUN_DIRECTORY)


class TestTheRunDirectory:
    def test_keeps_tenants_and_runs_apart(self, directory):
        directory.given("acme", "run-r1", started()).given("acme", "run-r2", started()).given(
            "other", "run-r1", started()
        )
        directory.given("acme", "run-r1", RunCompleted(output={"ok": True}))
        directory.then("acme", "r1", status="completed", output={"ok": True}, version=2, position=4, started_position=1)
        directory.then("acme", "r2", status="running", output=None, version=1, position=2)
        directory.then("other", "r1", status="running", output=None, version=1, position=3)

    def test_shows_what_was_started_and_when(self, directory):
        began, until = START - timedelta(minutes=1), START + timedelta(hours=1)
        labels = {"team": "north", "size": 3}
        directory.given("acme", "run-r1", started(input=[1, None], labels=labels, started_at=began, times_out_at=until))
        directory.then(
            "acme", "r1", workflow_id="travel.book", workflow_version="1.0.0", digest=DIGEST, status="running"
        )
        directory.then("acme", "r1", input=[1, None], labels=labels, started_at=began, times_out_at=until)
        directory.then("acme", "r1", ended_at=None, error=None, parent_run_id=None, forked_from_run_id=None)

    def test_shows_which_task_of_which_run_waits_for_it(self, directory):
        directory.given("acme", "run-r1", started(parent=ParentTask(run_id="r0", task=7)))
        directory.then("acme", "r1", parent_run_id="r0", parent_task=7)

    def test_shows_what_it_was_forked_from(self, directory):
        directory.given("acme", "run-r1", RunForked(**BEGUN, forked_from=Origin(run_id="r0", task=3), state={"a": 1}))
        directory.then("acme", "r1", status="running", forked_from_run_id="r0", forked_from_task=3, input=None)

    def test_counts_tasks_that_began_and_ended(self, directory):
        directory.given("acme", "run-r1", started(), RunInputFormed(), task(1), task(2), RunTaskCompleted(task=2))
        directory.given("acme", "run-r1", task(3), RunTaskFaulted(task=3, error=NO_CAR))
        directory.then("acme", "r1", tasks_started=3, tasks_completed=1, tasks_faulted=1, status="running", version=7)

    def test_knows_nothing_of_a_run_that_never_began(self, directory):
        assert directory.given("acme", "run-r1", RunCompleted()).rows == {}


class TestARunThatFailed:
    def test_shows_its_error(self, directory):
        directory.given("acme", "run-r1", started(), RunFaulted(error=NO_CAR))
        directory.then("acme", "r1", status="faulted", error=NO_CAR, ended_at=directory.at(2))

    def test_shows_that_it_waits_for_what_may_still_take_effect(self, directory):
        directory.given("acme", "run-r1", started(), RunFailing(error=NO_CAR))
        directory.then("acme", "r1", status="failing", error=NO_CAR, ended_at=None)
        directory.given("acme", "run-r1", RunSuspended(), RunResumed()).then("acme", "r1", status="failing")
        directory.given("acme", "run-r1", UNDOING).then("acme", "r1", status="compensating", error=NO_CAR)

    def test_is_running_again_when_it_is_retried(self, directory):
        directory.given("acme", "run-r1", started(), RunFaulted(error=NO_CAR), RunRetried())
        directory.then("acme", "r1", status="running", error=None, ended_at=None, version=3)

    def test_counts_no_task_if_it_failed_as_a_whole(self, directory):
        directory.given("acme", "run-r1", started(), RunTaskFaulted(task=0, error=NO_CAR))
        directory.then("acme", "r1", tasks_faulted=0, tasks_started=0)


class TestAPausedRun:
    def test_shows_why_until_it_goes_on(self, directory):
        directory.given("acme", "run-r1", started(), RunSuspended(reason="lunch"), RunTaskCompleted(task=1))
        directory.then("acme", "r1", status="suspended", reason="lunch")
        directory.given("acme", "run-r1", RunResumed()).then("acme", "r1", status="running", reason=None)

    def test_goes_on_with_what_it_was_at(self, directory):
        directory.given("acme", "run-r1", started(), RunCancelRequested(compensate=True), RunSuspended(), RunResumed())
        directory.then("acme", "r1", status="cancelling")
        directory.given("acme", "run-r1", RunCompensationStarted(), RunSuspended(), RunResumed())
        directory.then("acme", "r1", status="compensating")


class TestACancelledRun:
    def test_shows_when_and_why_it_was_not_wanted_any_more(self, directory):
        directory.given("acme", "run-r1", started(), RunCancelRequested(compensate=False, reason="rain"))
        directory.then("acme", "r1", status="cancelling", cancel_requested_at=directory.at(2), reason="rain")
        directory.given("acme", "run-r1", RunCancelled())
        directory.then("acme", "r1", status="cancelled", ended_at=directory.at(3), reason="rain")

    def test_may_have_failed_before(self, directory):
        directory.given("acme", "run-r1", started(), RunFaulted(error=NO_CAR), RunCancelRequested(compensate=False))
        directory.then("acme", "r1", status="cancelling", ended_at=None)


class TestARunThatUndoesItsWork:
    def test_ends_compensated_with_the_error_that_it_failed_with(self, directory):
        directory.given("acme", "run-r1", started(), UNDOING, compensating())
        directory.then("acme", "r1", status="compensating", error=NO_CAR, compensation_started_at=directory.at(2))
        directory.then("acme", "r1", compensation_position=2, ended_at=None)
        directory.given("acme", "run-r1", RunTaskCompensated(task=9, of=2), RunCompensated(error=NO_CAR))
        directory.then("acme", "r1", status="compensated", error=NO_CAR, ended_at=directory.at(5))

    def test_is_parked_when_a_task_cannot_be_undone(self, directory):
        failed = RunCompensationFailed(task=9, of=2, attempt=1, error=NO_ROOM)
        directory.given("acme", "run-r1", started(), UNDOING, compensating(), failed, RunParked(of=2, error=NO_ROOM))
        directory.then("acme", "r1", status="parked", stuck_task=2, error=NO_CAR, ended_at=None)

    @pytest.mark.parametrize("decided", [RunRetried(), compensating(2), RunCompensationSkipped(of=2)])
    def test_goes_on_when_an_operator_has_decided(self, directory, decided):
        directory.given("acme", "run-r1", started(), UNDOING, compensating(), RunParked(of=2, error=NO_ROOM), decided)
        directory.then("acme", "r1", status="compensating", stuck_task=None, error=NO_CAR, compensation_position=2)

    @pytest.mark.parametrize("decided", [RunRetried(), compensating(2), RunCompensationSkipped(of=2)])
    def test_stays_paused_when_an_operator_has_decided(self, directory, decided):
        directory.given("acme", "run-r1", started(), UNDOING, compensating(), RunParked(of=2, error=NO_ROOM))
        directory.given("acme", "run-r1", RunSuspended(), decided)
        directory.then("acme", "r1", status="suspended", stuck_task=None)
        directory.given("acme", "run-r1", RunResumed()).then("acme", "r1", status="compensating")

    def test_waits_for_nobody_once_it_is_terminated(self, directory):
        directory.given("acme", "run-r1", started(), UNDOING, compensating(), RunParked(of=2, error=NO_ROOM))
        directory.given("acme", "run-r1", RunCancelled()).then("acme", "r1", status="cancelled", stuck_task=None)

    def test_is_parked_again_after_a_pause(self, directory):
        directory.given("acme", "run-r1", started(), UNDOING, compensating(), RunParked(of=2, error=NO_ROOM))
        directory.given("acme", "run-r1", RunSuspended()).then("acme", "r1", status="suspended", stuck_task=2)
        directory.given("acme", "run-r1", RunResumed()).then("acme", "r1", status="parked", stuck_task=2)

    def test_may_have_completed_before_what_it_was_part_of_failed(self, directory):
        directory.given("acme", "run-r1", started(), RunCompleted(output=1), RunCompensationStarted())
        directory.then("acme", "r1", status="compensating", output=1, ended_at=None, error=None)
