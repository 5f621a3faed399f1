"""Submits the compute jobs that tasks of runs want, and tells the runs what came of them."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from events.envelope import Envelope
from events.job import JobCancelled, JobCompleted, JobFailed
from events.run import RunForked, RunTaskCancelled, RunTaskFaulted, RunTaskPrepared, RunTaskStarted
from events.run_parts import JobAwaited
from infra.patterns.saga import Ask, Reaction, Saga
from sagas.run_waits import (
    NO_LONGER_WANTED,
    RUNTIME,
    Beginning,
    GivenUp,
    Refused,
    Waiting,
    begun,
    error,
    fail_invalid,
    waits,
)
from write_side.job import CancelJob, SubmitJob


class SubmittedJobs(Waiting):
    """The tasks of runs that wait for jobs. A failed attempt that is followed by another ends nothing."""


def react(
    envelope: Envelope[Beginning | GivenUp | JobCompleted | JobFailed | JobCancelled], state: SubmittedJobs
) -> Sequence[Reaction]:
    entity_id, event = envelope.entity_id, envelope.event
    match event:
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            return list(_submit(entity_id, event, state))
        case RunTaskFaulted() | RunTaskCancelled():
            job_id = state.given_up(event, entity_id)
            return [CancelJob(job_id=job_id, reason=NO_LONGER_WANTED)] if job_id is not None else []
        case JobCompleted(result=result):
            return state.answered(entity_id, result)
        case JobFailed(error=detail):
            return state.failed(entity_id, error(RUNTIME, detail))
        case JobCancelled(reason=reason):
            return state.failed(entity_id, error(RUNTIME, reason, title="The job was cancelled"))
        case _:
            pass
    return []


def _submit(run_id: str, event: Beginning, state: SubmittedJobs) -> Iterator[Reaction]:
    for task, awaits in begun(event, JobAwaited):
        try:
            submit = SubmitJob.model_validate({**awaits.request, "job_id": awaits.job_id})
        except ValidationError as invalid:
            yield fail_invalid(run_id, task, invalid)
        else:
            state.add(awaits.job_id, run_id, task)
            yield Ask(submit, Refused(run_id, task))


SUBMIT_JOBS_ON_RUN_TASK = Saga(
    name="submit_jobs_on_run_task",
    version=1,
    state=SubmittedJobs,
    handles=waits(JobCompleted, JobFailed, JobCancelled),
    react=react,
)
