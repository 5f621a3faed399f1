"""Decides what may be done with a job: submit, place, run, retry and end it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, assert_never, get_args

from pydantic import Field

from events.event import Count, Id, JsonAny, JsonObject, Label, Reason
from events.job import (
    Dependencies,
    JobAssigned,
    JobAssignmentRefused,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobEvent,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobStarted,
    JobSubmitted,
    Priority,
    Requirements,
    Retries,
)
from events.node import Attempt, GpuShares, Labels
from infra.errors import NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command, Decider, Others
from write_side.fleet import FLEET_STREAM, require_room
from write_side.job_dependencies import failed_for, settle, streams_of
from write_side.timed import Timed

BACKOFF_FIRST_S = 1
BACKOFF_MAX_S = 60


class SubmitJob(Command):
    """Ask for a job; it is queued once all the jobs that it depends on have completed."""

    creates = True

    job_id: Id = Field(default_factory=new_id)
    kind: Label
    requirements: Requirements
    payload: JsonObject = {}
    priority: Priority = 0
    retries: Retries = 0
    depends_on: Dependencies = ()
    credits_offered: Count = 0
    labels: Labels = {}


class StartJob(Command):
    """Report that the attempt runs."""

    job_id: Id
    attempt: Attempt


class CompleteJob(Command):
    """Report the attempt, and with it the job, as done."""

    job_id: Id
    attempt: Attempt
    result: JsonAny = None
    duration_ms: Count | None = None


class FailJob(Timed):
    """Report that the attempt failed; the job is tried again while it has retries left."""

    job_id: Id
    attempt: Attempt
    error: Reason
    duration_ms: Count | None = None


class CancelJob(Command):
    """Want the job no longer."""

    job_id: Id
    reason: Reason | None = None


class QueueJob(Command):
    """Let the job be placed: its dependencies have completed, or the time of its next attempt has come."""

    public = False

    job_id: Id
    attempt: Attempt


class AssignJob(Command):
    """Give the attempt to a node that has reserved room: either answer is an event, since a saga waits for it."""

    public = False

    job_id: Id
    attempt: Attempt
    node_id: Id
    gpus: GpuShares = ()


class RequeueJob(Command):
    """Give up the attempt, since its node is lost, and queue the job again; nothing happens if the attempt is over."""

    public = False

    job_id: Id
    attempt: Attempt
    reason: Reason


class FailJobForDependency(Command):
    """Fail the job, since a job that it waits for will not complete; nothing happens if it does not wait."""

    public = False

    job_id: Id
    cause_job_id: Id


Coordination = QueueJob | AssignJob | RequeueJob | FailJobForDependency
JobCommand = SubmitJob | StartJob | CompleteJob | FailJob | CancelJob | Coordination


class JobUnknown(NotFound):
    """There is no such job."""


class JobAlreadyExists(Rejection):
    """There is a job with this id already."""


class StaleAttempt(Rejection):
    """This is not the current attempt at the job."""


class JobNotAssigned(Rejection):
    """The job is not assigned to a node."""


class JobNotStarted(Rejection):
    """The attempt is not started yet."""


class JobAlreadyStarted(Rejection):
    """The attempt is started already."""


class JobAlreadyEnded(Rejection):
    """The job has ended."""


Ended = Literal["completed", "failed", "cancelled"]
Status = Literal["unknown", "waiting", "queued", "assigned", "running", "backing_off"] | Ended
ENDED = frozenset(get_args(Ended))


@dataclass(frozen=True, slots=True)
class JobState:
    """`attempt` is the current one; while backing off, the one that failed. `node_id` is set while a node has it."""

    status: Status = "unknown"
    attempt: int = 1
    retries_left: int = 0
    node_id: str | None = None


UNKNOWN = JobState()


def decide(command: JobCommand, state: JobState, others: Others) -> list[JobEvent]:
    if isinstance(command, SubmitJob):
        return _submit(command, state, others)
    if state.status == "unknown":
        raise JobUnknown(f"there is no job {command.job_id}", job_id=command.job_id)
    match command:
        case StartJob(attempt=attempt):
            node_id = _node_of(attempt, state)
            if state.status == "running":
                raise JobAlreadyStarted
            return [JobStarted(node_id=node_id, attempt=attempt)]
        case CompleteJob(attempt=attempt, result=result, duration_ms=duration_ms):
            node_id = _node_of(attempt, state)
            if state.status != "running":
                raise JobNotStarted
            return [JobCompleted(node_id=node_id, attempt=attempt, result=result, duration_ms=duration_ms)]
        case FailJob():
            return [_fail(command, state, _node_of(command.attempt, state))]
        case CancelJob(reason=reason):
            if state.status in ENDED:
                raise JobAlreadyEnded(f"the job has ended: {state.status}", job_status=state.status)
            return [JobCancelled(attempt=state.attempt, node_id=state.node_id, reason=reason)]
        case _:
            return _coordinate(command, state)


def _coordinate(command: Coordination, state: JobState) -> list[JobEvent]:
    """What sagas ask for: a thing that is so already, or no longer matters, makes no event."""
    match command:
        case AssignJob():
            return _assign(command, state)
        case QueueJob(attempt=attempt):
            due = state.status in ("waiting", "backing_off") and attempt == state.attempt
            return [JobQueued(attempt=attempt)] if due else []
        case RequeueJob(attempt=attempt, reason=reason):
            if state.node_id is None or attempt != state.attempt:
                return []
            return [JobRequeued(node_id=state.node_id, attempt=attempt, reason=reason)]
        case FailJobForDependency(cause_job_id=cause_job_id):
            return [failed_for(cause_job_id)] if state.status == "waiting" else []
        case _:
            assert_never(command)


def _submit(command: SubmitJob, state: JobState, others: Others) -> list[JobEvent]:
    if state.status != "unknown":
        raise JobAlreadyExists(f"there is a job {command.job_id} already", job_id=command.job_id)
    require_room(command.kind, command.requirements, others[FLEET_STREAM])
    waits_for, lost = settle(command.job_id, command.depends_on, others)
    submitted = JobSubmitted(
        kind=command.kind,
        requirements=command.requirements,
        payload=command.payload,
        priority=command.priority,
        retries=command.retries,
        depends_on=command.depends_on,
        waits_for=waits_for,
        credits_offered=command.credits_offered,
        labels=command.labels,
    )
    return [submitted] if lost is None else [submitted, failed_for(lost)]


def _assign(command: AssignJob, state: JobState) -> list[JobEvent]:
    node_id, attempt = command.node_id, command.attempt
    if attempt == state.attempt and state.status == "queued":
        return [JobAssigned(node_id=node_id, attempt=attempt, gpus=command.gpus)]
    if attempt == state.attempt and state.node_id == node_id:
        return []
    reason = f"the job is {state.status} with attempt {state.attempt}"
    return [JobAssignmentRefused(node_id=node_id, attempt=attempt, reason=reason)]


def _node_of(attempt: int, state: JobState) -> str:
    """The node that reports on the attempt; refused unless that attempt is the one under way."""
    if state.status in ENDED:
        raise JobAlreadyEnded(f"the job has ended: {state.status}", job_status=state.status)
    if attempt != state.attempt:
        raise StaleAttempt(f"the current attempt is {state.attempt}, not {attempt}", current=state.attempt)
    if state.node_id is None:
        raise JobNotAssigned
    return state.node_id


def _fail(command: FailJob, state: JobState, node_id: str) -> JobAttemptFailed | JobFailed:
    """For good without retries left; otherwise again after a wait that doubles with each attempt."""
    attempt, error, duration_ms = command.attempt, command.error, command.duration_ms
    if not state.retries_left:
        return JobFailed(attempt=attempt, node_id=node_id, error=error, duration_ms=duration_ms)
    retry_at = command.at + timedelta(seconds=min(BACKOFF_FIRST_S << (attempt - 1), BACKOFF_MAX_S))
    return JobAttemptFailed(node_id=node_id, attempt=attempt, error=error, duration_ms=duration_ms, retry_at=retry_at)


def consults(command: JobCommand, state: object) -> Sequence[str]:
    return (*streams_of(command.job_id, command.depends_on), FLEET_STREAM) if isinstance(command, SubmitJob) else ()


def evolve(state: JobState, event: JobEvent) -> JobState:
    match event:
        case JobSubmitted(waits_for=waits_for, retries=retries):
            return JobState("waiting" if waits_for else "queued", 1, retries)
        case JobAssigned(node_id=node_id, attempt=attempt):
            return JobState("assigned", attempt, state.retries_left, node_id)
        case JobStarted(node_id=node_id, attempt=attempt):
            return JobState("running", attempt, state.retries_left, node_id)
        case JobCompleted(attempt=attempt):
            return JobState("completed", attempt)
        case JobQueued(attempt=attempt):
            return JobState("queued", attempt, state.retries_left)
        case JobAttemptFailed(attempt=attempt):
            return JobState("backing_off", attempt + 1, state.retries_left - 1)
        case JobRequeued(attempt=attempt):
            return JobState("queued", attempt + 1, state.retries_left)
        case JobFailed(attempt=attempt):
            return JobState("failed", attempt)
        case JobCancelled(attempt=attempt):
            return JobState("cancelled", attempt)
        case JobAssignmentRefused():
            return state
        case _:
            assert_never(event)


JOB = Decider("job", get_args(JobCommand), UNKNOWN, decide, evolve, consults=consults)
