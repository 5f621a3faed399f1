"""Queues a job once all it depends on has completed, or fails it with the first that will not; queues the next attempt.

A dependency named in `waits_for` ends after the submission in the log: the append of the submission checks that none of
the dependencies has moved.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from events.envelope import Envelope
from events.job import JobAttemptFailed, JobCancelled, JobCompleted, JobEvent, JobFailed, JobSubmitted
from infra.patterns.saga import Reaction, Saga, Schedule
from write_side.job import FailJobForDependency, QueueJob


class Dependencies(BaseModel):
    """What is still waited for: the dependencies each job misses, and the jobs that wait for each dependency."""

    missing: dict[str, list[str]] = {}
    dependents: dict[str, list[str]] = {}


def react(envelope: Envelope[JobEvent], state: Dependencies) -> Sequence[Reaction]:
    job_id = envelope.entity_id
    match envelope.event:
        case JobSubmitted(waits_for=waits_for):
            if waits_for:
                state.missing[job_id] = list(waits_for)
            for dependency in waits_for:
                state.dependents.setdefault(dependency, []).append(job_id)
        case JobCompleted():
            return _on_completed(job_id, state)
        case JobFailed() | JobCancelled():
            return _on_lost(job_id, state)
        case JobAttemptFailed(attempt=attempt, retry_at=retry_at):
            return [Schedule(retry_at, QueueJob(job_id=job_id, attempt=attempt + 1))]
        case _:
            pass
    return []


def _on_completed(dependency: str, state: Dependencies) -> list[Reaction]:
    commands: list[Reaction] = []
    for job_id in state.dependents.pop(dependency, ()):
        missing = state.missing[job_id]
        missing.remove(dependency)
        if not missing:
            del state.missing[job_id]
            commands.append(QueueJob(job_id=job_id, attempt=1))
    return commands


def _on_lost(job_id: str, state: Dependencies) -> list[Reaction]:
    """The job waits no more; those that wait for it fail, and each in turn takes its own dependents with it."""
    _forget(job_id, state)
    dependents = state.dependents.pop(job_id, [])
    for dependent in dependents:
        state.missing[dependent].remove(job_id)
        _forget(dependent, state)
    return [FailJobForDependency(job_id=dependent, cause_job_id=job_id) for dependent in dependents]


def _forget(job_id: str, state: Dependencies) -> None:
    for dependency in state.missing.pop(job_id, ()):
        others = state.dependents[dependency]
        others.remove(job_id)
        if not others:
            del state.dependents[dependency]


QUEUE_JOBS_ON_DEPENDENCIES = Saga(
    name="queue_jobs_on_dependencies",
    version=1,
    state=Dependencies,
    handles=(JobSubmitted, JobCompleted, JobFailed, JobCancelled, JobAttemptFailed),
    react=react,
)
