"""The job board."""

from datetime import UTC, datetime

import pytest

from events.job import (
    JobAssigned,
    JobAssignmentRefused,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobStarted,
    JobSubmitted,
    Requirements,
)
from projections.job_board import JOB_BOARD

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEED = Requirements(cpu_milli=1_000, memory_mib=100, gpu_count=1, gpu_milli=500, gpu_models=("T4", "V100"))
SUBMITTED = JobSubmitted(
    kind="k", requirements=NEED, payload={"x": [1]}, priority=3, retries=2, credits_offered=7, labels={"a": "b"}
)
WAITING = JobSubmitted(kind="k", requirements=NEED, depends_on=("j0", "j9"), waits_for=("j9",))
ASSIGNED = JobAssigned(node_id="n1", attempt=1)
STARTED = JobStarted(node_id="n1", attempt=1)


def completed(attempt=1, duration_ms=None):
    return JobCompleted(node_id="n1", attempt=attempt, result=[1], duration_ms=duration_ms)


def attempt_failed(duration_ms=None):
    return JobAttemptFailed(node_id="n1", attempt=1, error="e", duration_ms=duration_ms, retry_at=NOON)


@pytest.fixture
def board(read_model):
    return read_model(JOB_BOARD)


class TestTheJobBoard:
    def test_keeps_tenants_and_jobs_apart(self, board):
        board.given("acme", "job-j1", SUBMITTED).given("acme", "job-j2", WAITING).given("other", "job-j1", SUBMITTED)
        board.given("acme", "job-j1", ASSIGNED)
        board.then("acme", "j1", status="assigned", node_id="n1", version=2, position=4)
        board.then("acme", "j2", status="waiting", node_id=None, version=1, position=2)
        board.then("other", "j1", status="queued", node_id=None, version=1, position=3)

    def test_shows_what_was_asked_for(self, board):
        board.given("acme", "job-j1", SUBMITTED)
        board.then(
            "acme", "j1", kind="k", priority=3, retries=2, payload={"x": [1]}, labels={"a": "b"}, credits_offered=7
        )
        board.then("acme", "j1", cpu_milli=1_000, memory_mib=100, gpu_count=1, gpu_milli=500, gpu_models=("T4", "V100"))
        board.then("acme", "j1", attempt=1, submitted_at=board.at(1), queued_at=board.at(1), submitted_position=1)

    def test_shows_a_job_that_waits_for_others(self, board):
        board.given("acme", "job-j1", WAITING).then("acme", "j1", depends_on=("j0", "j9"), queued_at=None)
        board.given("acme", "job-j1", JobQueued(attempt=1)).then("acme", "j1", status="queued", queued_at=board.at(2))

    def test_measures_the_wait_for_the_current_attempt(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED)
        board.then("acme", "j1", status="running", started_at=board.at(3), wait_ms=2_000, started_position=3)
        board.given("acme", "job-j1", attempt_failed()).then("acme", "j1", wait_ms=None, queued_at=None)
        board.given("acme", "job-j1", JobQueued(attempt=2), JobAssigned(node_id="n2", attempt=2))
        board.given("acme", "job-j1", JobStarted(node_id="n2", attempt=2)).then("acme", "j1", wait_ms=2_000, attempt=2)

    def test_leaves_a_refused_assignment_without_a_trace(self, board):
        refused = JobAssignmentRefused(node_id="n1", attempt=1, reason="r")
        board.given("acme", "job-j1", SUBMITTED, refused).then("acme", "j1", status="queued", node_id=None, version=2)


class TestAJobThatEnded:
    def test_shows_its_result_and_what_it_took_as_the_worker_measured_it(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, completed(duration_ms=90_000))
        board.then("acme", "j1", status="completed", result=[1], node_id="n1", ended_at=board.at(4), ended_position=4)
        board.then("acme", "j1", duration_ms=90_000, gpu_milli_ms=500 * 90_000)

    def test_took_the_time_from_start_to_end_when_the_worker_did_not_measure(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, completed())
        board.then("acme", "j1", duration_ms=1_000, gpu_milli_ms=500_000)

    def test_may_have_taken_no_time(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, completed(duration_ms=0))
        board.then("acme", "j1", duration_ms=0, gpu_milli_ms=0)

    def test_shows_its_error(self, board):
        failed = JobFailed(node_id="n1", attempt=1, error="e", duration_ms=2_000)
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, failed)
        board.then(
            "acme", "j1", status="failed", error="e", cause_job_id=None, duration_ms=2_000, gpu_milli_ms=1_000_000
        )

    def test_shows_which_dependency_was_lost(self, board):
        board.given("acme", "job-j1", WAITING, JobFailed(attempt=1, error="e", cause_job_id="j9"))
        board.then("acme", "j1", status="failed", cause_job_id="j9", duration_ms=None, gpu_milli_ms=0, started_at=None)

    def test_took_nothing_when_it_was_cancelled_in_the_queue(self, board):
        board.given("acme", "job-j1", SUBMITTED, JobCancelled(attempt=1))
        board.then("acme", "j1", status="cancelled", duration_ms=None, gpu_milli_ms=0, ended_at=board.at(2))

    def test_took_the_time_until_it_was_cancelled(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, JobCancelled(node_id="n1", attempt=1))
        board.then("acme", "j1", status="cancelled", duration_ms=1_000, gpu_milli_ms=500_000)


class TestAJobWithSeveralAttempts:
    def test_backs_off_on_no_node(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, attempt_failed(3_000))
        board.then("acme", "j1", status="backing_off", node_id=None, error="e", duration_ms=3_000, started_at=None)

    def test_adds_up_what_its_attempts_used(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, attempt_failed(3_000), JobQueued(attempt=2))
        board.given("acme", "job-j1", JobAssigned(node_id="n1", attempt=2), JobStarted(node_id="n1", attempt=2))
        board.given("acme", "job-j1", completed(2, duration_ms=1_000))
        board.then("acme", "j1", duration_ms=1_000, gpu_milli_ms=500 * 4_000, attempt=2, version=8)

    def test_does_not_count_an_attempt_that_was_lost_with_its_node(self, board):
        board.given("acme", "job-j1", SUBMITTED, ASSIGNED, STARTED, JobRequeued(node_id="n1", attempt=1, reason="r"))
        board.then("acme", "j1", status="queued", attempt=2, node_id=None, queued_at=board.at(4), gpu_milli_ms=0)
        board.then("acme", "j1", duration_ms=None, started_at=None, started_position=None, wait_ms=None)
