"""What can be asked of runs, by people and by sagas, and why it may be refused."""

from pydantic import AwareDatetime, Field

from events.event import Id, JsonAny, JsonObject, Reason
from events.run_parts import ParentTask, RunError, TaskNumber
from events.workflow import WorkflowVersion
from infra.errors import NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command
from write_side.timed import Timed


class StartRun(Timed):
    """Start a run of a workflow, in the version that is named, else in the active one, else in the one that was registered last."""

    creates = True

    run_id: Id = Field(default_factory=new_id)
    workflow_id: Id
    workflow_version: WorkflowVersion | None = None
    input: JsonAny = None
    labels: JsonObject = {}


class StartChildRun(Timed):
    """Start a run that a task of another run waits for."""

    creates = True
    public = False

    run_id: Id
    workflow_id: Id
    workflow_version: WorkflowVersion | None = None
    input: JsonAny = None
    labels: JsonObject = {}
    parent: ParentTask | None = None


class StartScheduledRun(Timed):
    """Start a run that the schedule of a version asks for; nothing happens unless that version is still active, by that activation."""

    public = False

    run_id: Id
    workflow_id: Id
    workflow_version: WorkflowVersion
    activation: int
    input: JsonAny = None
    labels: JsonObject = {}


class SuspendRun(Command):
    """Have the run pause: what is under way goes on, nothing new begins."""

    run_id: Id
    reason: Reason | None = None


class ResumeRun(Command):
    """Have a suspended run go on."""

    run_id: Id


class CancelRun(Command):
    """Want the run no longer; with `compensate` what it has done is undone first."""

    run_id: Id
    compensate: bool = False
    reason: Reason | None = None


class TerminateRun(Command):
    """End the run at once, whatever it is doing, also undoing; nothing is undone."""

    run_id: Id
    reason: Reason | None = None


class RetryRun(Command):
    """Have a failed run go on: the tasks that failed begin again."""

    run_id: Id


class RetryRunCompensation(Command):
    """Try once more to undo the task that could not be undone."""

    run_id: Id


class SkipRunCompensation(Command):
    """Leave the task that could not be undone as it is, and go on with those before it."""

    run_id: Id


class ForkRun(Timed):
    """Start a new run with the history of this one up to a completed task, and if wanted with another output of that task.

    With task 0 it begins anew, with another input. What the other run has done is not this one's to undo.
    """

    stream_field = "new_run_id"

    run_id: Id
    new_run_id: Id = Field(default_factory=new_id)
    task: TaskNumber
    input: JsonAny = None
    labels: JsonObject = {}


class SendRunEvent(Command):
    """Send an event, a CloudEvent, to this run; it waits there until a task listens for it."""

    run_id: Id
    event: JsonObject


class CompensateRun(Command):
    """Undo a run as a whole, whether it has completed or not, since the run that it was part of is undone or wants it no more."""

    public = False

    run_id: Id
    reason: Reason | None = None


class AdvanceRun(Timed):
    """Go on as far as possible."""

    public = False

    run_id: Id


class AnswerRunTask(Timed):
    """Give a task what it waits for."""

    public = False

    run_id: Id
    task: TaskNumber
    answer: JsonAny = None


class DeliverRunMessage(Timed):
    """Hand a task that subscribes to messages one of them; `place` is how many it has taken before."""

    public = False

    run_id: Id
    task: TaskNumber
    place: int
    message: JsonAny


class FailRunTask(Timed):
    """Tell a task that what it waits for has failed.

    `given_up`: the child run that has failed and could not undo what it had done. Then it waits on if something would catch the error,
    since the child may still be undone; otherwise its run is parked with the child. `in_doubt`: what it waits for may have been done
    all the same.
    """

    public = False

    run_id: Id
    task: TaskNumber
    error: RunError
    given_up: Id | None = None
    in_doubt: bool = False


class FireRunTimer(Timed):
    """Tell a task that the moment it waits for has come: the end of a wait, or the next attempt."""

    public = False

    run_id: Id
    task: TaskNumber
    due_at: AwareDatetime


class TimeOutRunTask(Timed):
    """End a task, or with task 0 the run, that has taken too long."""

    public = False

    run_id: Id
    task: TaskNumber
    due_at: AwareDatetime


class DeliverRunEvent(Timed):
    """Show the run an event that was published: the tasks that listen for it take it."""

    public = False

    run_id: Id
    event: JsonObject


RunCommand = (
    StartRun
    | SuspendRun
    | ResumeRun
    | CancelRun
    | TerminateRun
    | RetryRun
    | RetryRunCompensation
    | SkipRunCompensation
    | ForkRun
    | SendRunEvent
    | StartChildRun
    | StartScheduledRun
    | CompensateRun
    | AdvanceRun
    | AnswerRunTask
    | FailRunTask
    | FireRunTimer
    | TimeOutRunTask
    | DeliverRunEvent
    | DeliverRunMessage
)


class RunTaskNotCompleted(Rejection):
    """A run can be forked from a task that has completed while it was running."""


class RunUnknown(NotFound):
    """There is no such run."""


class RunAlreadyExists(Rejection):
    """There is a run with this id already."""


class RunAlreadyEnded(Rejection):
    """The run has ended."""


class RunAlreadySuspended(Rejection):
    """The run is suspended already."""


class RunNotSuspended(Rejection):
    """The run is not suspended."""


class RunAlreadyUndone(Rejection):
    """There is nothing left to undo of the run."""


class RunLeftAsItWas(Rejection):
    """The run was cancelled or terminated without undoing what it did."""


class RunNotFaulted(Rejection):
    """The run has not failed."""


class RunNotParked(Rejection):
    """The run does not wait for an operator."""


class InboxFull(Rejection):
    """More events wait in this run than it may keep; none of its tasks listens for them."""
