"""What happens to a run that undoes what it has done: each completed task that says how, last first."""

from pydantic import AwareDatetime

from events.event import Event
from events.run_parts import RunError, TaskNumber


class RunFailing(Event):
    """When a run had failed for good, and what was under way and can be undone was waited for: it may have taken effect."""

    type = "run.failing"

    error: RunError


class RunCompensationStarted(Event):
    """When a run began to undo what it had done, last first; `error` is why, none if it was cancelled."""

    type = "run.compensation_started"

    error: RunError | None = None


class RunTaskCompensating(Event):
    """When the undoing of a completed task (`of`) began: `task` is the one that undoes it."""

    type = "run.task_compensating"

    task: TaskNumber
    of: TaskNumber
    attempt: int = 1
    started_at: AwareDatetime


class RunTaskCompensated(Event):
    """When a completed task was undone."""

    type = "run.task_compensated"

    task: TaskNumber
    of: TaskNumber


class RunCompensationFailed(Event):
    """When the undoing of a task failed; `retry_at` says when it is tried again, none if an operator has to decide."""

    type = "run.compensation_failed"

    task: TaskNumber
    of: TaskNumber
    attempt: int
    error: RunError
    retry_at: AwareDatetime | None = None


class RunCompensationSkipped(Event):
    """When an operator decided that a completed task is not undone."""

    type = "run.compensation_skipped"

    of: TaskNumber


class RunCompensated(Event):
    """When all that a run had done was undone; `error` is why."""

    type = "run.compensated"

    error: RunError | None = None


class RunParked(Event):
    """When a task could not be undone: an operator tries again or skips it."""

    type = "run.parked"

    of: TaskNumber
    error: RunError


RunCompensationEvent = (
    RunFailing
    | RunCompensationStarted
    | RunTaskCompensating
    | RunTaskCompensated
    | RunCompensationFailed
    | RunCompensationSkipped
    | RunCompensated
    | RunParked
)
