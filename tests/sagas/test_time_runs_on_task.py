"""Timers of runs, told as stories."""

import pytest

from events.run import RunErrorCaught
from events.run_compensation import RunCompensationFailed
from events.run_parts import Deadline, JobAwaited, TimerAwaited
from infra.patterns.saga import Schedule
from sagas.time_runs_on_task import TIME_RUNS_ON_TASK
from tests.sagas.run_stories import error, forked, later, node, prepared, started, task
from write_side.run_commands import FireRunTimer, TimeOutRunTask

WAIT = TimerAwaited(until=later(60))


def fire(number, at, run_id="r1"):
    return Schedule(at, FireRunTimer(run_id=run_id, task=number, due_at=at))


def time_out(number, at):
    return Schedule(at, TimeOutRunTask(run_id="r1", task=number, due_at=at))


@pytest.fixture
def timers(story):
    return story(TIME_RUNS_ON_TASK)


class TestATaskThatWaitsForAMoment:
    def test_has_a_timer_from_its_beginning(self, timers):
        timers.given("run-r1", task(3, WAIT)).then(fire(3, later(60)))

    def test_has_a_timer_once_its_extension_is_done(self, timers):
        timers.given("run-r1", task(3, prepared=False)).then_nothing()
        timers.given("run-r1", prepared(3, WAIT)).then(fire(3, later(60)))

    def test_has_a_timer_in_a_forked_run(self, timers):
        waiting = node(10, WAIT), node(2, TimerAwaited(until=later(5))), node(4, WAIT, phase="answered")
        timers.given("run-r2", forked(*waiting)).then(fire(2, later(5), "r2"), fire(10, later(60), "r2"))


class TestATimeout:
    def test_of_a_task_ends_it(self, timers):
        timers.given("run-r1", task(3, times_out_at=later(9))).then(time_out(3, later(9)))

    def test_is_beside_the_moment_that_a_task_waits_for(self, timers):
        timers.given("run-r1", task(3, WAIT, times_out_at=later(9)))
        timers.then(fire(3, later(60)), time_out(3, later(9)))

    def test_of_a_run_ends_it(self, timers):
        timers.given("run-r1", started(times_out_at=later(9))).then(time_out(0, later(9)))

    def test_of_a_forked_run_or_of_what_is_open_in_it_ends_that(self, timers):
        own = Deadline(task=0, at=later(9)), Deadline(task=2, at=later(5))
        timers.given("run-r1", forked(deadlines=own)).then(time_out(0, later(9)), time_out(2, later(5)))

    def test_is_not_there_without_need(self, timers):
        timers.given("run-r1", started()).then_nothing().given("run-r1", task(1, JobAwaited(job_id="j"))).then_nothing()


class TestAnotherAttempt:
    def test_begins_at_its_time(self, timers):
        caught = RunErrorCaught(task=2, error=error("runtime", 500), attempt=1, retry_at=later(7))
        timers.given("run-r1", caught).then(fire(2, later(7)))

    def test_is_not_awaited_if_there_is_none(self, timers):
        timers.given("run-r1", RunErrorCaught(task=2, error=error("runtime", 500), attempt=1)).then_nothing()
        failed = RunCompensationFailed(task=5, of=2, attempt=5, error=error("runtime", 500))
        timers.given("run-r1", failed).then_nothing()

    def test_to_undo_a_task_begins_at_its_time(self, timers):
        failed = RunCompensationFailed(task=5, of=2, attempt=1, error=error("runtime", 500), retry_at=later(7))
        timers.given("run-r1", failed).then(fire(5, later(7)))

    def test_begins_at_its_time_in_a_forked_run(self, timers):
        delayed = {"task": 2, "phase": "delayed", "awaits": None, "retry_at": "2026-01-01T12:00:07Z"}
        timers.given("run-r2", forked(delayed)).then(fire(2, later(7), "r2"))
