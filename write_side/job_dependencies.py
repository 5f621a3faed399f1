"""Decides what the jobs that a new job depends on mean for it: refuse it, let it wait, or fail it with them."""

from collections.abc import Sequence

from events.job import JobFailed
from infra.errors import Invalid
from infra.patterns.decider import Others


class DependsOnItself(Invalid):
    """A job cannot depend on itself."""


class UnknownDependency(Invalid):
    """A job can only depend on jobs that have been submitted."""


def streams_of(job_id: str, depends_on: Sequence[str]) -> tuple[str, ...]:
    """The streams to consult; never the new job's own."""
    return tuple(f"job-{dependency}" for dependency in depends_on if dependency != job_id)


def settle(job_id: str, depends_on: Sequence[str], others: Others) -> tuple[tuple[str, ...], str | None]:
    """Which dependencies have not completed, and the first of them that never will.

    A ring cannot arise: a dependency was submitted before the job that names it.
    """
    if job_id in depends_on:
        raise DependsOnItself
    found = {dependency: others[f"job-{dependency}"].status for dependency in depends_on}
    unknown = [dependency for dependency, status in found.items() if status == "unknown"]
    if unknown:
        raise UnknownDependency(f"there is no job {unknown[0]}", unknown=unknown)
    waits_for = tuple(dependency for dependency, status in found.items() if status != "completed")
    lost = (dependency for dependency in waits_for if found[dependency] in ("failed", "cancelled"))
    return waits_for, next(lost, None)


def failed_for(cause_job_id: str) -> JobFailed:
    """The end of a job that waited in vain; it had no attempt yet, so it fails in its first."""
    error = f"job {cause_job_id}, which this one depends on, did not complete"
    return JobFailed(attempt=1, error=error, cause_job_id=cause_job_id)
