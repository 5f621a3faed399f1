"""Deadlines of tasks, told as stories."""

from datetime import UTC, datetime

import pytest

from events.task import TaskRequested
from infra.patterns.saga import Schedule
from sagas.time_out_tasks_on_deadline import TIME_OUT_TASKS_ON_DEADLINE
from write_side.task import TimeOutTask

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def tasks(story):
    return story(TIME_OUT_TASKS_ON_DEADLINE)


class TestARequestedTask:
    def test_is_timed_out_at_its_deadline(self, tasks):
        tasks.given("task-t1", TaskRequested(title="t", agent_id="a1", deadline_at=NOON))
        tasks.then(Schedule(NOON, TimeOutTask(task_id="t1")))

    def test_without_a_deadline_may_take_for_ever(self, tasks):
        tasks.given("task-t1", TaskRequested(title="t", agent_id="a1")).then_nothing()
