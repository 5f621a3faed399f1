"""The tasks of runs."""

from datetime import timedelta

import pytest

from events.run import (
    RunErrorCaught,
    RunEventConsumed,
    RunIterationStarted,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
    RunTaskStarted,
)
from events.run_compensation import (
    RunCompensationFailed,
    RunCompensationSkipped,
    RunParked,
    RunTaskCompensated,
    RunTaskCompensating,
)
from events.run_parts import (
    AgentTaskAwaited,
    ApprovalAwaited,
    CallAwaited,
    DocumentsAwaited,
    EventsAwaited,
    JobAwaited,
    ProcessAwaited,
    RunAwaited,
    RunError,
    TimerAwaited,
    UndoingAwaited,
)
from projections.run_tasks import RUN_TASKS, AwaitedByTask
from tests.projections.conftest import START

NO_CAR = RunError(type="https://example.com/no-car", status=409, title="No car")
LATER = START + timedelta(hours=1)


def started(number, parent=0, kind="call", **fields):
    reference = f"/do/{number}/book"
    return RunTaskStarted(
        task=number, parent=parent, reference=reference, name="book", kind=kind, started_at=START, **fields
    )


def compensating(attempt=1, task=5):
    return RunTaskCompensating(task=task, of=2, attempt=attempt, started_at=START)


def failed(retry_at=None):
    return RunCompensationFailed(task=5, of=2, attempt=1, error=NO_CAR, retry_at=retry_at)


@pytest.fixture
def tasks(read_model):
    return read_model(RUN_TASKS)


class TestTheTasksOfRuns:
    def test_are_kept_apart_by_tenant_run_and_number(self, tasks):
        tasks.given("acme", "run-r1", started(1), started(2, 1)).given("acme", "run-r2", started(1))
        tasks.given("other", "run-r1", started(1)).given("acme", "run-r1", RunTaskCompleted(task=2, output=[1]))
        tasks.then("acme", "r1", 1, status="running", position=1, started_position=1, parent=0)
        tasks.then("acme", "r1", 2, status="completed", output=[1], position=5, started_position=2, parent=1)
        tasks.then("acme", "r2", 1, status="running", position=3)
        tasks.then("other", "r1", 1, status="running", position=4)

    def test_show_what_they_were_given_and_when_they_began(self, tasks):
        tasks.given("acme", "run-r1", started(1, input={"a": None}, times_out_at=LATER))
        tasks.then("acme", "r1", 1, reference="/do/1/book", name="book", kind="call", input={"a": None})
        tasks.then("acme", "r1", 1, started_at=START, times_out_at=LATER, ended_at=None, attempts=1)

    def test_show_one_whose_condition_did_not_hold(self, tasks):
        tasks.given("acme", "run-r1", RunTaskSkipped(task=1, reference="/do/0/book", name="book"))
        tasks.then("acme", "r1", 1, status="skipped", kind=None, started_at=None, ended_at=tasks.at(1))

    def test_show_what_came_of_them(self, tasks):
        tasks.given("acme", "run-r1", started(1), started(2), started(3), RunTaskCompleted(task=1, output="yes"))
        tasks.given("acme", "run-r1", RunTaskFaulted(task=2, error=NO_CAR), RunTaskCancelled(task=3))
        tasks.then("acme", "r1", 1, status="completed", output="yes", error=None, ended_at=tasks.at(4))
        tasks.then("acme", "r1", 2, status="faulted", error=NO_CAR, ended_at=tasks.at(5))
        tasks.then("acme", "r1", 3, status="cancelled", error=None, ended_at=tasks.at(6))

    def test_leave_out_one_that_began_in_the_run_that_theirs_was_forked_from(self, tasks):
        assert tasks.given("acme", "run-r1", RunTaskCompleted(task=1), compensating()).rows == {}


class TestATaskThatWaits:
    @pytest.mark.parametrize(
        ("awaited", "shown"),
        [
            (CallAwaited(function="http", arguments={"uri": "x"}), {"kind": "call", "function": "http"}),
            (ProcessAwaited(arguments={"shell": {}}), {"kind": "process"}),
            (
                DocumentsAwaited(of="schemas", addresses=("https://x",)),
                {"kind": "documents", "addresses": ("https://x",)},
            ),
            (TimerAwaited(until=LATER), {"kind": "timer", "until": LATER}),
            (EventsAwaited(types=("order.paid",)), {"kind": "events", "types": ("order.paid",)}),
            (RunAwaited(run_id="r9", workflow_id="a.b"), {"kind": "run", "id": "r9"}),
            (UndoingAwaited(run_id="r9"), {"kind": "undoing", "id": "r9"}),
            (AgentTaskAwaited(task_id="t9", title="Think"), {"kind": "agent_task", "id": "t9"}),
            (JobAwaited(job_id="j9"), {"kind": "job", "id": "j9"}),
            (ApprovalAwaited(approval_id="p9"), {"kind": "approval", "id": "p9"}),
        ],
        ids=lambda value: value.kind if hasattr(value, "kind") else "",
    )
    def test_shows_what_for(self, tasks, awaited, shown):
        tasks.given("acme", "run-r1", started(1, awaits=awaited))
        tasks.then("acme", "r1", 1, status="waiting", awaits=AwaitedByTask(**shown))

    def test_waits_only_once_an_extension_has_done_what_comes_before_it(self, tasks):
        tasks.given("acme", "run-r1", started(1, prepared=False)).then("acme", "r1", 1, status="running", awaits=None)
        tasks.given("acme", "run-r1", RunTaskPrepared(task=1, awaits=JobAwaited(job_id="j9"), items=[1]))
        tasks.then("acme", "r1", 1, status="waiting", awaits=AwaitedByTask(kind="job", id="j9"), items=1)

    def test_goes_on_when_it_has_come(self, tasks):
        tasks.given("acme", "run-r1", started(1, awaits=JobAwaited(job_id="j9")), RunTaskAnswered(task=1, answer=[1]))
        tasks.then("acme", "r1", 1, status="running", awaits=AwaitedByTask(kind="job", id="j9"), output=None)

    def test_counts_the_events_that_it_took(self, tasks):
        consumed = RunEventConsumed(task=1, event_id="e1")
        tasks.given("acme", "run-r1", started(1, awaits=EventsAwaited()), consumed, consumed)
        tasks.given("acme", "run-r1", RunEventConsumed(task=1, event_id="e2", closing=True))
        tasks.then("acme", "r1", 1, status="waiting", events_consumed=2)


class TestATry:
    def test_counts_the_errors_that_it_caught_and_its_attempts(self, tasks):
        caught = RunErrorCaught(task=1, error=NO_CAR, attempt=1, retry_at=LATER)
        tasks.given("acme", "run-r1", started(1, kind="try"), caught)
        tasks.then("acme", "r1", 1, status="running", attempts=1, errors_caught=1, next_retry_at=LATER)
        tasks.given("acme", "run-r1", RunTaskRetried(task=1, attempt=2))
        tasks.then("acme", "r1", 1, attempts=2, errors_caught=1, next_retry_at=None, last_error_caught=NO_CAR)

    def test_has_no_error_of_its_own_if_it_came_through(self, tasks):
        caught = RunErrorCaught(task=1, error=NO_CAR, attempt=1)
        tasks.given("acme", "run-r1", started(1, kind="try"), caught, RunTaskCompleted(task=1))
        tasks.then("acme", "r1", 1, status="completed", error=None, last_error_caught=NO_CAR)


class TestALoop:
    def test_shows_its_round_and_how_many_there_will_be(self, tasks):
        rounds = [RunIterationStarted(task=1, index=index) for index in range(2)]
        tasks.given("acme", "run-r1", started(1, kind="for", items=["a", None, "c"]), *rounds)
        tasks.then("acme", "r1", 1, rounds=2, items=3)


class TestATaskThatIsUndone:
    @pytest.fixture(autouse=True)
    def a_completed_task(self, tasks):
        tasks.given("acme", "run-r1", started(2), RunTaskCompleted(task=2, output="room 7"))

    def test_shows_which_task_undoes_it_beside_what_it_had_done(self, tasks):
        tasks.given("acme", "run-r1", compensating(), started(5, kind="compensate"), started(6, 5))
        tasks.then("acme", "r1", 2, status="compensating", compensated_by=5, output="room 7", ended_at=tasks.at(2))
        tasks.given(
            "acme", "run-r1", RunTaskCompleted(task=6), RunTaskCompleted(task=5), RunTaskCompensated(task=5, of=2)
        )
        tasks.then("acme", "r1", 2, status="compensated", compensated_by=5, compensation_ended_at=tasks.at(8))
        tasks.then("acme", "r1", 5, status="completed", compensated_by=None)

    def test_shows_when_its_undoing_is_tried_again(self, tasks):
        tasks.given("acme", "run-r1", compensating(), started(5, kind="compensate"), failed(retry_at=LATER))
        tasks.then("acme", "r1", 2, status="compensating", compensated_by=5, error=None)
        tasks.then("acme", "r1", 5, status="faulted", error=NO_CAR, ended_at=tasks.at(5), next_retry_at=LATER)
        tasks.given("acme", "run-r1", compensating(2, task=7)).then("acme", "r1", 2, compensated_by=7)
        tasks.given("acme", "run-r1", RunTaskCompensated(task=7, of=2))
        tasks.then("acme", "r1", 2, status="compensated", compensation_attempts=2, compensation_error=None)

    def test_is_stuck_when_its_undoing_failed_for_good(self, tasks):
        tasks.given("acme", "run-r1", compensating(), failed(), RunParked(of=2, error=NO_CAR))
        tasks.then("acme", "r1", 2, status="stuck", compensation_error=NO_CAR, output="room 7")
        tasks.given("acme", "run-r1", compensating(task=7))
        tasks.then("acme", "r1", 2, status="compensating", compensation_error=None, compensated_by=7)

    def test_may_be_left_as_it_is_by_an_operator(self, tasks):
        tasks.given("acme", "run-r1", compensating(), failed(), RunParked(of=2, error=NO_CAR))
        tasks.given("acme", "run-r1", RunCompensationSkipped(of=2))
        tasks.then("acme", "r1", 2, status="compensation_skipped", compensation_error=NO_CAR)
