"""The decider of jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from events.fleet import FleetNodeAdded
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
from events.node import GpuShare
from write_side.fleet import FLEET_STREAM, NoNodeCanHold
from write_side.job import (
    JOB,
    AssignJob,
    CancelJob,
    CompleteJob,
    FailJob,
    FailJobForDependency,
    JobAlreadyEnded,
    JobAlreadyExists,
    JobAlreadyStarted,
    JobNotAssigned,
    JobNotStarted,
    JobUnknown,
    QueueJob,
    RequeueJob,
    StaleAttempt,
    StartJob,
    SubmitJob,
)
from write_side.job_dependencies import DependsOnItself, UnknownDependency

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEED = Requirements(cpu_milli=1_000, memory_mib=512)
SUBMITTED = JobSubmitted(kind="train", requirements=NEED, retries=2)
WAITING = [JobSubmitted(kind="train", requirements=NEED, depends_on=("d1",), waits_for=("d1",))]
ASSIGNED = [SUBMITTED, JobAssigned(node_id="n1", attempt=1)]
RUNNING = [*ASSIGNED, JobStarted(node_id="n1", attempt=1)]
ATTEMPT_FAILED = JobAttemptFailed(node_id="n1", attempt=1, error="x", retry_at=NOW + timedelta(seconds=1))
BACKING_OFF = [*RUNNING, ATTEMPT_FAILED]
REQUEUED = [*RUNNING, JobRequeued(node_id="n1", attempt=1, reason="node lost")]
ENDS = [
    JobCompleted(node_id="n1", attempt=1),
    JobFailed(attempt=1, node_id="n1", error="x"),
    JobCancelled(attempt=1, node_id="n1"),
]
REPORTS = [
    StartJob(job_id="j1", attempt=1),
    CompleteJob(job_id="j1", attempt=1),
    FailJob(job_id="j1", attempt=1, error="x"),
]
COORDINATION = [
    QueueJob(job_id="j1", attempt=1),
    RequeueJob(job_id="j1", attempt=1, reason="node lost"),
    FailJobForDependency(job_id="j1", cause_job_id="d1"),
]


def named(value):
    return type(value).__name__


def submit(**fields):
    return SubmitJob(**{"job_id": "j1", "kind": "train", "requirements": NEED, **fields})


class TestAnUnknownJob:
    def test_is_queued_at_once_when_it_depends_on_nothing(self, given):
        fields = {"payload": {"epochs": 3}, "priority": 9, "retries": 20, "credits_offered": 5, "labels": {"team": "a"}}
        scenario = given(JOB).when(submit(**fields))
        scenario.then(JobSubmitted(kind="train", requirements=NEED, **fields))
        assert (scenario.state.status, scenario.state.attempt) == ("queued", 1)

    def test_waits_for_those_that_have_not_completed(self, given):
        scenario = given(JOB).beside("job-d1", *RUNNING).beside("job-d2", *RUNNING, ENDS[0])
        scenario.when(submit(depends_on=["d1", "d2"]))
        scenario.then(JobSubmitted(kind="train", requirements=NEED, depends_on=("d1", "d2"), waits_for=("d1",)))
        assert scenario.state.status == "waiting"

    def test_is_queued_at_once_when_all_have_completed(self, given):
        scenario = given(JOB).beside("job-d1", *RUNNING, ENDS[0]).when(submit(depends_on=["d1"]))
        assert scenario.state.status == "queued"

    @pytest.mark.parametrize("end", ENDS[1:], ids=named)
    def test_fails_with_the_dependency_that_never_will(self, given, end):
        scenario = given(JOB).beside("job-d1", SUBMITTED).beside("job-d2", *RUNNING, end)
        submitted, failed = scenario.when(submit(depends_on=["d1", "d2"])).events
        assert submitted.waits_for == ("d1", "d2")
        assert (failed.attempt, failed.node_id, failed.cause_job_id) == (1, None, "d2")
        assert scenario.state.status == "failed"

    def test_cannot_depend_on_a_job_that_was_not_submitted(self, given):
        scenario = given(JOB).beside("job-d1", SUBMITTED)
        scenario.when(submit(depends_on=["d1", "d9"])).then_refused(UnknownDependency, 422)

    def test_cannot_depend_on_itself(self, given):
        given(JOB).beside("job-d1", SUBMITTED).when(submit(depends_on=["d1", "j1"])).then_refused(DependsOnItself, 422)

    def test_is_decided_beside_its_dependencies_and_the_fleet_only(self):
        assert JOB.consults(submit(depends_on=["d1", "j1", "d2"]), None) == ("job-d1", "job-d2", FLEET_STREAM)

    def test_is_refused_when_no_node_could_ever_hold_it(self, given):
        fleet = FleetNodeAdded(node_id="n1", cpu_milli=999, memory_mib=512)
        given(JOB).beside(FLEET_STREAM, fleet).when(submit()).then_refused(NoNodeCanHold, 422)

    def test_is_refused_when_no_node_does_its_kind(self, given):
        fleet = FleetNodeAdded(node_id="n1", cpu_milli=1_000, memory_mib=512, kinds=("other",))
        given(JOB).beside(FLEET_STREAM, fleet).when(submit()).then_refused(NoNodeCanHold, 422)

    def test_is_accepted_when_some_node_could(self, given):
        fleet = FleetNodeAdded(node_id="n1", cpu_milli=1_000, memory_mib=512)
        given(JOB).beside(FLEET_STREAM, fleet).when(submit()).then(SUBMITTED.model_copy(update={"retries": 0}))

    @pytest.mark.parametrize("command", [*REPORTS, *COORDINATION, CancelJob(job_id="j1")], ids=named)
    def test_is_not_found(self, given, command):
        given(JOB).when(command).then_refused(JobUnknown, 404)


class TestAWaitingJob:
    def test_is_queued_when_its_dependencies_have_completed(self, given):
        given(JOB, *WAITING).when(QueueJob(job_id="j1", attempt=1)).then(JobQueued(attempt=1))

    def test_is_queued_once(self, given):
        given(JOB, *WAITING, JobQueued(attempt=1)).when(QueueJob(job_id="j1", attempt=1)).then_nothing()

    def test_fails_with_its_dependency(self, given):
        (failed,) = given(JOB, *WAITING).when(FailJobForDependency(job_id="j1", cause_job_id="d1")).events
        assert (failed.attempt, failed.cause_job_id) == (1, "d1")
        assert "d1" in failed.error

    def test_can_be_cancelled(self, given):
        given(JOB, *WAITING).when(CancelJob(job_id="j1")).then(JobCancelled(attempt=1))

    @pytest.mark.parametrize("command", REPORTS, ids=named)
    def test_is_on_no_node(self, given, command):
        given(JOB, *WAITING).when(command).then_refused(JobNotAssigned)

    def test_cannot_be_assigned(self, given):
        (refused,) = given(JOB, *WAITING).when(AssignJob(job_id="j1", attempt=1, node_id="n1")).events
        assert isinstance(refused, JobAssignmentRefused)


class TestAQueuedJob:
    def test_cannot_be_submitted_again(self, given):
        given(JOB, SUBMITTED).when(submit()).then_refused(JobAlreadyExists)

    def test_can_be_assigned_with_its_gpus(self, given):
        gpus = (GpuShare(index=2, milli=500),)
        command = AssignJob(job_id="j1", attempt=1, node_id="n1", gpus=gpus)
        given(JOB, SUBMITTED).when(command).then(JobAssigned(node_id="n1", attempt=1, gpus=gpus))

    @pytest.mark.parametrize("command", REPORTS, ids=named)
    def test_is_on_no_node(self, given, command):
        given(JOB, SUBMITTED).when(command).then_refused(JobNotAssigned)

    @pytest.mark.parametrize("command", COORDINATION, ids=named)
    def test_has_nothing_to_wait_for_or_to_lose(self, given, command):
        given(JOB, SUBMITTED).when(command).then_nothing()

    def test_can_be_cancelled_for_a_reason(self, given):
        command = CancelJob(job_id="j1", reason="not needed")
        given(JOB, SUBMITTED).when(command).then(JobCancelled(attempt=1, reason="not needed"))


@pytest.mark.parametrize("past", [ASSIGNED, RUNNING], ids=["assigned", "running"])
class TestAJobOnANode:
    def test_is_assigned_there_once(self, given, past):
        given(JOB, *past).when(AssignJob(job_id="j1", attempt=1, node_id="n1")).then_nothing()

    def test_cannot_be_assigned_to_another_node(self, given, past):
        (refused,) = given(JOB, *past).when(AssignJob(job_id="j1", attempt=1, node_id="n2")).events
        assert isinstance(refused, JobAssignmentRefused)
        assert (refused.node_id, refused.attempt) == ("n2", 1)

    def test_is_queued_again_when_the_node_is_lost(self, given, past):
        command = RequeueJob(job_id="j1", attempt=1, reason="node lost")
        scenario = given(JOB, *past).when(command).then(JobRequeued(node_id="n1", attempt=1, reason="node lost"))
        assert (scenario.state.status, scenario.state.attempt) == ("queued", 2)
        scenario.when(command).then_nothing()

    def test_can_be_cancelled(self, given, past):
        given(JOB, *past).when(CancelJob(job_id="j1")).then(JobCancelled(attempt=1, node_id="n1"))

    def test_can_fail(self, given, past):
        command = FailJob(job_id="j1", attempt=1, error="x", at=NOW)
        given(JOB, *past).when(command).then(ATTEMPT_FAILED)

    @pytest.mark.parametrize("command", REPORTS, ids=named)
    def test_refuses_what_is_said_of_another_attempt(self, given, past, command):
        given(JOB, *past).when(command.model_copy(update={"attempt": 2})).then_refused(StaleAttempt)


class TestAnAssignedJob:
    def test_can_be_started(self, given):
        given(JOB, *ASSIGNED).when(REPORTS[0]).then(JobStarted(node_id="n1", attempt=1))

    def test_cannot_be_completed_before_it_is_started(self, given):
        given(JOB, *ASSIGNED).when(REPORTS[1]).then_refused(JobNotStarted)


class TestARunningJob:
    def test_cannot_be_started_again(self, given):
        given(JOB, *RUNNING).when(REPORTS[0]).then_refused(JobAlreadyStarted)

    def test_can_be_completed(self, given):
        command = CompleteJob(job_id="j1", attempt=1, result={"loss": 0.1}, duration_ms=9)
        completed = JobCompleted(node_id="n1", attempt=1, result={"loss": 0.1}, duration_ms=9)
        given(JOB, *RUNNING).when(command).then(completed)


class TestRetrying:
    def past(self, attempts, retries):
        events = [SUBMITTED.model_copy(update={"retries": retries})]
        for attempt in range(1, attempts + 1):
            events += [JobQueued(attempt=attempt)] if attempt > 1 else []
            events += [JobAssigned(node_id="n1", attempt=attempt), JobStarted(node_id="n1", attempt=attempt)]
            events += [ATTEMPT_FAILED.model_copy(update={"attempt": attempt})] if attempt < attempts else []
        return events

    @pytest.mark.parametrize(
        ("attempt", "wait_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (20, 60)]
    )
    def test_waits_twice_as_long_each_time_up_to_a_minute(self, given, attempt, wait_s):
        scenario = given(JOB, *self.past(attempt, retries=20))
        (failed,) = scenario.when(FailJob(job_id="j1", attempt=attempt, error="x", duration_ms=7, at=NOW)).events
        assert failed == JobAttemptFailed(
            node_id="n1", attempt=attempt, error="x", duration_ms=7, retry_at=NOW + timedelta(seconds=wait_s)
        )

    def test_ends_when_the_retries_are_used_up(self, given):
        scenario = given(JOB, *self.past(3, retries=2))
        scenario.when(FailJob(job_id="j1", attempt=3, error="x", duration_ms=7))
        scenario.then(JobFailed(attempt=3, node_id="n1", error="x", duration_ms=7))

    def test_does_not_happen_without_retries(self, given):
        scenario = given(JOB, *self.past(1, retries=0)).when(FailJob(job_id="j1", attempt=1, error="x"))
        scenario.then(JobFailed(attempt=1, node_id="n1", error="x"))

    def test_is_not_used_up_by_lost_nodes(self, given):
        past = [*self.past(1, retries=1), JobRequeued(node_id="n1", attempt=1, reason="lost")]
        past += [JobAssigned(node_id="n2", attempt=2), JobStarted(node_id="n2", attempt=2)]
        (failed,) = given(JOB, *past).when(FailJob(job_id="j1", attempt=2, error="x", at=NOW)).events
        assert isinstance(failed, JobAttemptFailed)


class TestAJobThatBacksOff:
    def test_is_queued_as_the_next_attempt(self, given):
        given(JOB, *BACKING_OFF).when(QueueJob(job_id="j1", attempt=2)).then(JobQueued(attempt=2))

    def test_is_not_queued_as_the_attempt_that_failed(self, given):
        given(JOB, *BACKING_OFF).when(QueueJob(job_id="j1", attempt=1)).then_nothing()

    def test_can_be_cancelled(self, given):
        given(JOB, *BACKING_OFF).when(CancelJob(job_id="j1")).then(JobCancelled(attempt=2))

    @pytest.mark.parametrize("command", REPORTS, ids=named)
    def test_refuses_a_late_report(self, given, command):
        given(JOB, *BACKING_OFF).when(command).then_refused(StaleAttempt)


class TestARequeuedJob:
    @pytest.mark.parametrize("command", REPORTS, ids=named)
    def test_refuses_a_late_report_of_the_lost_attempt(self, given, command):
        given(JOB, *REQUEUED).when(command).then_refused(StaleAttempt)

    def test_refuses_a_late_assignment_of_the_lost_attempt(self, given):
        (refused,) = given(JOB, *REQUEUED).when(AssignJob(job_id="j1", attempt=1, node_id="n1")).events
        assert isinstance(refused, JobAssignmentRefused)


@pytest.mark.parametrize("end", ENDS, ids=named)
class TestAnEndedJob:
    @pytest.mark.parametrize("command", [*REPORTS, CancelJob(job_id="j1")], ids=named)
    def test_stays_so(self, given, end, command):
        given(JOB, *RUNNING, end).when(command).then_refused(JobAlreadyEnded)

    @pytest.mark.parametrize("command", COORDINATION, ids=named)
    def test_needs_no_coordination(self, given, end, command):
        given(JOB, *RUNNING, end).when(command).then_nothing()

    def test_refuses_an_assignment_so_that_its_room_is_released(self, given, end):
        (refused,) = given(JOB, *RUNNING, end).when(AssignJob(job_id="j1", attempt=1, node_id="n1")).events
        assert isinstance(refused, JobAssignmentRefused)

    def test_cannot_be_submitted_again(self, given, end):
        given(JOB, *RUNNING, end).when(submit()).then_refused(JobAlreadyExists)
