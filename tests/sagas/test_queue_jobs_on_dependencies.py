"""Jobs that wait for other jobs, told as stories."""

from datetime import UTC, datetime

import pytest

from events.job import JobAttemptFailed, JobCancelled, JobCompleted, JobFailed, JobSubmitted, Requirements
from infra.patterns.saga import Schedule
from sagas.queue_jobs_on_dependencies import QUEUE_JOBS_ON_DEPENDENCIES, Dependencies
from write_side.job import FailJobForDependency, QueueJob

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DONE = JobCompleted(node_id="n1", attempt=1)
FAILED = JobFailed(node_id="n1", attempt=1, error="e")


def submitted(*waits_for, depends_on=None):
    return JobSubmitted(
        kind="k",
        requirements=Requirements(cpu_milli=1, memory_mib=1),
        depends_on=depends_on or waits_for,
        waits_for=waits_for,
    )


def failed_for(cause):
    return JobFailed(attempt=1, error="e", cause_job_id=cause)


@pytest.fixture
def jobs(story):
    return story(QUEUE_JOBS_ON_DEPENDENCIES)


class TestAJobThatWaits:
    def test_is_queued_when_the_last_of_its_dependencies_completes(self, jobs):
        jobs.given("job-c", submitted("a", "b")).given("job-b", DONE).then_nothing()
        jobs.given("job-a", DONE).then(QueueJob(job_id="c", attempt=1))
        assert jobs.state == Dependencies()

    def test_does_not_wait_for_what_had_completed_before(self, jobs):
        jobs.given("job-c", submitted("b", depends_on=("a", "b")))
        jobs.given("job-b", DONE).then(QueueJob(job_id="c", attempt=1))

    @pytest.mark.parametrize("end", [FAILED, JobCancelled(attempt=1)])
    def test_fails_with_the_first_that_will_not_complete(self, jobs, end):
        jobs.given("job-c", submitted("a", "b")).given("job-b", end)
        jobs.then(FailJobForDependency(job_id="c", cause_job_id="b"))
        jobs.given("job-a", end).then_nothing()
        assert jobs.state == Dependencies()

    def test_takes_those_that_wait_for_it_with_it(self, jobs):
        jobs.given("job-b", submitted("a")).given("job-c", submitted("b"))
        jobs.given("job-a", FAILED).then(FailJobForDependency(job_id="b", cause_job_id="a"))
        jobs.given("job-b", failed_for("a")).then(FailJobForDependency(job_id="c", cause_job_id="b"))
        jobs.given("job-c", failed_for("b")).then_nothing()

    def test_is_forgotten_when_it_is_cancelled(self, jobs):
        jobs.given("job-b", submitted("a")).given("job-b", JobCancelled(attempt=1)).then_nothing()
        jobs.given("job-a", DONE).then_nothing()
        assert jobs.state == Dependencies()

    def test_that_is_submitted_after_a_dependency_was_lost_fails_by_itself(self, jobs):
        jobs.given("job-b", submitted("a")).given("job-b", failed_for("a")).then_nothing()
        assert jobs.state == Dependencies()


class TestACompletedJob:
    def test_queues_all_that_waited_for_it_in_order(self, jobs):
        jobs.given("job-c", submitted("a")).given("job-b", submitted("a"))
        jobs.given("job-a", DONE).then(QueueJob(job_id="c", attempt=1), QueueJob(job_id="b", attempt=1))

    def test_that_nobody_waits_for_leads_to_nothing(self, jobs):
        jobs.given("job-a", submitted()).given("job-a", DONE).then_nothing()


class TestAFailedAttempt:
    def test_is_followed_by_the_next_when_its_time_has_come(self, jobs):
        jobs.given("job-a", JobAttemptFailed(node_id="n1", attempt=2, error="e", retry_at=NOON))
        jobs.then(Schedule(NOON, QueueJob(job_id="a", attempt=3)))

    def test_lets_those_that_wait_for_the_job_go_on_waiting(self, jobs):
        jobs.given("job-b", submitted("a"))
        jobs.given("job-a", JobAttemptFailed(node_id="n1", attempt=1, error="e", retry_at=NOON))
        jobs.given("job-a", DONE).then(QueueJob(job_id="b", attempt=1))
