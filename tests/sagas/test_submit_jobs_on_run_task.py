"""Jobs that runs want, told as stories."""

import pytest

from events.job import JobCancelled, JobCompleted, JobFailed, Requirements
from events.run_parts import JobAwaited
from infra.patterns.saga import Ask
from sagas.run_waits import Refused
from sagas.submit_jobs_on_run_task import NO_LONGER_WANTED, SUBMIT_JOBS_ON_RUN_TASK, SubmittedJobs
from tests.sagas.run_stories import STANDARD, answer, cancelled, error, fail, faulted, task
from write_side.job import CancelJob, SubmitJob

REQUEST = {"kind": "train", "requirements": {"cpu_milli": 1_000, "memory_mib": 10}, "payload": {"epochs": 3}}
WANTED = JobAwaited(job_id="r1.3", request=REQUEST)
SUBMIT = SubmitJob(
    job_id="r1.3",
    kind="train",
    requirements=Requirements(cpu_milli=1_000, memory_mib=10),
    payload={"epochs": 3},
)


@pytest.fixture
def jobs(story):
    return story(SUBMIT_JOBS_ON_RUN_TASK)


@pytest.fixture
def submitted(jobs):
    return jobs.given("run-r1", task(3, WANTED))


class TestATaskForAJob:
    def test_has_it_submitted(self, submitted):
        submitted.then(Ask(SUBMIT, Refused("r1", 3)))

    @pytest.mark.parametrize(
        ("request_", "place"),
        [
            ({"kind": "train"}, "requirements"),
            ({**REQUEST, "requirements": {}}, "requirements/cpu_milli"),
            ({**REQUEST, "colour": "red"}, "colour"),
        ],
    )
    def test_fails_if_it_asks_in_another_way_than_jobs_are_asked_for(self, jobs, request_, place):
        jobs.given("run-r1", task(3, JobAwaited(job_id="r1.3", request=request_)))
        (failed,) = jobs.asked
        assert (failed.task, failed.error.type, failed.error.status) == (3, STANDARD + "validation", 400)
        assert failed.error.detail.startswith(f"with/{place}: ")
        assert jobs.state == SubmittedJobs()

    def test_names_its_job_itself(self, jobs):
        jobs.given("run-r1", task(3, JobAwaited(job_id="r1.3", request={**REQUEST, "job_id": "other"})))
        jobs.then(Ask(SUBMIT, Refused("r1", 3)))


class TestWhatCameOfIt:
    def test_is_the_answer_when_it_is_done(self, submitted):
        submitted.given("job-r1.3", JobCompleted(node_id="n1", attempt=2, result=[1])).then(answer("r1", 3, [1]))
        assert submitted.state == SubmittedJobs()

    @pytest.mark.parametrize(
        ("end", "failed"),
        [
            (JobFailed(attempt=3, error="out of memory"), error("runtime", 500, detail="out of memory")),
            (JobCancelled(attempt=1, reason="why"), error("runtime", 500, "The job was cancelled", "why")),
        ],
    )
    def test_is_an_error_when_it_is_not(self, submitted, end, failed):
        submitted.given("job-r1.3", end).then(fail("r1", 3, failed))
        assert submitted.state == SubmittedJobs()

    def test_is_nothing_to_runs_that_did_not_ask(self, submitted):
        submitted.given("job-other", JobFailed(attempt=1, error="e")).then_nothing()


class TestATaskThatWaitsNoMore:
    @pytest.mark.parametrize("end", [cancelled(3), faulted(3, "timeout")])
    def test_has_its_job_cancelled(self, submitted, end):
        submitted.given("run-r1", end).then(CancelJob(job_id="r1.3", reason=NO_LONGER_WANTED))
        submitted.given("job-r1.3", JobCancelled(attempt=1)).then_nothing()
        assert submitted.state == SubmittedJobs()
