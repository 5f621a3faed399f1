"""The job board: every job with what it needs, where it stands, how long it waited and ran, and how it ended."""

from datetime import datetime, timedelta
from typing import Literal, get_args

from pydantic import JsonValue

from events.envelope import Envelope
from events.job import (
    JobAssigned,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobEvent,
    JobFailed,
    JobQueued,
    JobRequeued,
    JobStarted,
    JobSubmitted,
)
from infra.patterns.projection import Key, Projection, Row

JobStatus = Literal["waiting", "queued", "assigned", "running", "backing_off", "completed", "failed", "cancelled"]

MILLISECOND = timedelta(milliseconds=1)


class JobRow(Row):
    """A job as it is now; the times from `queued_at` to `started_at` are those of its current attempt.

    `wait_ms` is the time from `queued_at` to `started_at`. `duration_ms` is how long the last attempt that ended ran,
    as the worker measured it, else by the log's clock. `gpu_milli_ms` is `gpu_count * gpu_milli * duration_ms`, summed
    over the attempts that ran and ended; one lost with its node is not in it, since nobody knows when it stopped.
    """

    tenant_id: str
    job_id: str
    kind: str
    status: JobStatus
    priority: int
    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_milli: int
    gpu_models: tuple[str, ...]
    payload: dict[str, JsonValue]
    labels: dict[str, str]
    depends_on: tuple[str, ...]
    attempt: int = 1
    retries: int
    node_id: str | None = None
    credits_offered: int
    submitted_at: datetime
    queued_at: datetime | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    wait_ms: int | None = None
    duration_ms: int | None = None
    gpu_milli_ms: int = 0
    error: str | None = None
    cause_job_id: str | None = None
    result: JsonValue = None
    version: int
    position: int
    submitted_position: int
    started_position: int | None = None
    ended_position: int | None = None


def locate(envelope: Envelope[JobEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[JobEvent], row: JobRow | None) -> JobRow | None:
    event = envelope.event
    if isinstance(event, JobSubmitted):
        return _submitted(envelope, event)
    if row is None:
        return row
    changes = _changes(envelope, row)
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _submitted(envelope: Envelope[JobEvent], event: JobSubmitted) -> JobRow:
    need = event.requirements
    return JobRow(
        tenant_id=envelope.tenant_id,
        job_id=envelope.entity_id,
        kind=event.kind,
        status="waiting" if event.waits_for else "queued",
        priority=event.priority,
        cpu_milli=need.cpu_milli,
        memory_mib=need.memory_mib,
        gpu_count=need.gpu_count,
        gpu_milli=need.gpu_milli,
        gpu_models=need.gpu_models,
        payload=event.payload,
        labels=event.labels,
        depends_on=event.depends_on,
        retries=event.retries,
        credits_offered=event.credits_offered,
        submitted_at=envelope.occurred_at,
        queued_at=None if event.waits_for else envelope.occurred_at,
        version=envelope.stream_version,
        position=envelope.position,
        submitted_position=envelope.position,
    )


def _changes(envelope: Envelope[JobEvent], row: JobRow) -> dict[str, object]:
    at = envelope.occurred_at
    match envelope.event:
        case JobAssigned(node_id=node_id, attempt=attempt):
            return {"status": "assigned", "node_id": node_id, "attempt": attempt, "assigned_at": at}
        case JobStarted():
            wait_ms = None if row.queued_at is None else _ms(row.queued_at, at)
            return {"status": "running", "started_at": at, "started_position": envelope.position, "wait_ms": wait_ms}
        case JobCompleted(result=result, duration_ms=duration_ms):
            return {**_ended("completed", envelope), **_ran(row, duration_ms, at), "result": result}
        case JobFailed(duration_ms=duration_ms, error=error, cause_job_id=cause_job_id):
            causes: dict[str, object] = {"error": error, "cause_job_id": cause_job_id}
            return {**_ended("failed", envelope), **_ran(row, duration_ms, at), **causes}
        case JobCancelled():
            return {**_ended("cancelled", envelope), **_ran(row, None, at)}
        case JobQueued(attempt=attempt):
            return {"status": "queued", "attempt": attempt, "queued_at": at, **_NOT_PLACED}
        case JobRequeued(attempt=attempt):
            return {"status": "queued", "attempt": attempt + 1, "queued_at": at, **_NOT_PLACED}
        case JobAttemptFailed(duration_ms=duration_ms, error=error):
            ran = _ran(row, duration_ms, at)
            return {"status": "backing_off", "queued_at": None, **_NOT_PLACED, **ran, "error": error}
        case _:
            pass
    return {}


_NOT_PLACED: dict[str, object] = {
    "node_id": None,
    "assigned_at": None,
    "started_at": None,
    "started_position": None,
    "wait_ms": None,
}


def _ended(status: JobStatus, envelope: Envelope[JobEvent]) -> dict[str, object]:
    return {"status": status, "ended_at": envelope.occurred_at, "ended_position": envelope.position}


def _ran(row: JobRow, measured_ms: int | None, at: datetime) -> dict[str, object]:
    """What an attempt that ended took; nothing if it never ran."""
    if measured_ms is None:
        if row.started_at is None:
            return {}
        measured_ms = _ms(row.started_at, at)
    used = row.gpu_count * row.gpu_milli * measured_ms
    return {"duration_ms": measured_ms, "gpu_milli_ms": row.gpu_milli_ms + used}


def _ms(since: datetime, until: datetime) -> int:
    """Whole milliseconds, none rather than fewer: the two times may come from clocks of two machines."""
    return max(0, (until - since) // MILLISECOND)


JOB_BOARD = Projection(
    name="job_board",
    version=1,
    row=JobRow,
    key=("tenant_id", "job_id"),
    handles=get_args(JobEvent),
    locate=locate,
    project=project,
    indexes=(
        ("tenant_id", "status", "job_id"),
        ("tenant_id", "kind", "job_id"),
        ("tenant_id", "priority", "job_id"),
        ("tenant_id", "node_id", "job_id"),
    ),
)
