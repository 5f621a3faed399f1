"""What happens to a run: one execution of a workflow, task by task, with what each expression yielded."""

from pydantic import AwareDatetime

from events.event import Event, Id, JsonAny, JsonObject, Name, Reason, Text
from events.run_compensation import RunCompensationEvent
from events.run_parts import Awaited, Branch, Deadline, Origin, ParentTask, Reference, RunError, TaskName, TaskNumber
from events.workflow import Digest, WorkflowVersion


class RunStarted(Event):
    """When a run began. `input` is what was sent. If it is `going`, nothing forms that, and what it did first was written with this."""

    type = "run.started"

    workflow_id: Id
    workflow_version: WorkflowVersion
    digest: Digest
    input: JsonAny = None
    labels: JsonObject = {}
    started_at: AwareDatetime
    times_out_at: AwareDatetime | None = None
    parent: ParentTask | None = None
    going: bool = False


class RunForked(Event):
    """When a run began with the history of another one up to a task; `state` is what the interpreter knew then."""

    type = "run.forked"

    workflow_id: Id
    workflow_version: WorkflowVersion
    digest: Digest
    forked_from: Origin
    labels: JsonObject = {}
    started_at: AwareDatetime
    state: JsonObject
    deadlines: tuple[Deadline, ...] | None = None


class RunInputFormed(Event):
    """When the workflow's input was checked and formed: what its first task is given."""

    type = "run.input_formed"

    input: JsonAny = None


class RunTaskStarted(Event):
    """When a task began. `input` is formed; `items` are those of a loop, or a fork's branches; `awaits` is what has to happen outside.
    Not `prepared`: an extension goes before it. One of kind `document` fetches what the task of its reference, or what that calls, needs.
    """

    type = "run.task_started"

    task: TaskNumber
    parent: TaskNumber = 0
    reference: Reference
    name: TaskName
    kind: Name
    input: JsonAny = None
    items: list[JsonAny] | None = None
    awaits: Awaited | None = None
    prepared: bool = True
    started_at: AwareDatetime
    times_out_at: AwareDatetime | None = None


class RunTaskPrepared(Event):
    """When what an extension does before a task was done, and the task itself began."""

    type = "run.task_prepared"

    task: TaskNumber
    items: list[JsonAny] | None = None
    awaits: Awaited | None = None


class RunTaskSkipped(Event):
    """When a task's condition did not hold: its input is its output. A branch that is `withdrawn` is out of a race, and has none."""

    type = "run.task_skipped"

    task: TaskNumber
    parent: TaskNumber = 0
    reference: Reference
    name: TaskName
    withdrawn: bool | None = None


class RunIterationStarted(Event):
    """When a loop began a round; `index` counts from 0."""

    type = "run.iteration_started"

    task: TaskNumber
    index: int


class RunIterationCompleted(Event):
    """When what is done with one event or message of several was done; `output` is what it came to."""

    type = "run.iteration_completed"

    task: TaskNumber
    index: int
    output: JsonAny = None
    exported: bool = False
    context: JsonAny = None


class RunEventConsumed(Event):
    """When a listening task took an event, or one that subscribes a message, which has no id: `item` is how it reads it, `filter` which of
    its filters matched. `closing` events only end the listening; it is `closed` with this one. `received` is its place in the inbox.
    """

    type = "run.event_consumed"

    task: TaskNumber
    filter: int = 0
    event_id: Text
    item: JsonAny = None
    correlations: JsonObject = {}
    closing: bool = False
    closed: bool = False
    received: int | None = None


class RunEventReceived(Event):
    """When an event was sent to this run; the first task to listen for it takes it."""

    type = "run.event_received"

    event: JsonObject


class RunEventEmitted(Event):
    """When a task emitted an event, a CloudEvent in JSON."""

    type = "run.event_emitted"

    task: TaskNumber
    event: JsonObject


class RunTaskAnswered(Event):
    """When what a task waited for was there; `answer` is the task's output before it is formed."""

    type = "run.task_answered"

    task: TaskNumber
    answer: JsonAny = None
    then: Text | None = None


class RunTaskCompleted(Event):
    """When a task was done. `context` is the run's if `exported`, `then` overrides its definition; if `compensable` it can be undone."""

    type = "run.task_completed"

    task: TaskNumber
    output: JsonAny = None
    exported: bool = False
    context: JsonAny = None
    then: Text | None = None
    compensable: bool = False


class RunTaskFaulted(Event):
    """When a task failed; if no `try` around it catches the error, the run fails with it. `given_up` is the child run that it waited for
    if that has not ended, `in_doubt` says that what it called may have taken effect: it is undone with what this run has done.
    """

    type = "run.task_faulted"

    task: TaskNumber
    error: RunError
    given_up: Id | None = None
    in_doubt: bool | None = None


class RunErrorCaught(Event):
    """When a `try` caught an error of what it tried: `retry_at` says when it tries again, if it does; `attempt` counts from 1."""

    type = "run.error_caught"

    task: TaskNumber
    error: RunError
    attempt: int
    retry_at: AwareDatetime | None = None


class RunTaskRetried(Event):
    """When a `try` began another attempt."""

    type = "run.task_retried"

    task: TaskNumber
    attempt: int


class RunTaskCancelled(Event):
    """When a task was given up because another one won, or what it was part of ended; `in_doubt` as of a task that failed."""

    type = "run.task_cancelled"

    task: TaskNumber
    in_doubt: bool | None = None


class RunAdvanced(Event):
    """When a run had more to do than one append holds; it goes on with the next."""

    type = "run.advanced"


class RunSuspended(Event):
    """When a run was told to pause: what is under way goes on, nothing new begins."""

    type = "run.suspended"

    reason: Reason | None = None


class RunResumed(Event):
    """When a suspended run went on."""

    type = "run.resumed"


class RunCancelRequested(Event):
    """When somebody wanted the run no longer; with `compensate` what it has done is undone first."""

    type = "run.cancel_requested"

    compensate: bool
    reason: Reason | None = None


class RunCompleted(Event):
    """When a run came to its end."""

    type = "run.completed"

    output: JsonAny = None


class RunFaulted(Event):
    """When a run failed."""

    type = "run.faulted"

    error: RunError


class RunCancelled(Event):
    """When a run ended because it was not wanted any more."""

    type = "run.cancelled"

    reason: Reason | None = None


class RunRetried(Event):
    """When an operator had a failed run go on from the tasks that failed; `again`: branches of lost races that failed before the last."""

    type = "run.retried"

    again: tuple[Branch, ...] | None = None


RunEvent = (
    RunStarted
    | RunForked
    | RunInputFormed
    | RunTaskStarted
    | RunTaskPrepared
    | RunTaskSkipped
    | RunIterationStarted
    | RunIterationCompleted
    | RunEventConsumed
    | RunEventReceived
    | RunEventEmitted
    | RunTaskAnswered
    | RunTaskCompleted
    | RunTaskFaulted
    | RunErrorCaught
    | RunTaskRetried
    | RunTaskCancelled
    | RunAdvanced
    | RunSuspended
    | RunResumed
    | RunCancelRequested
    | RunCompleted
    | RunFaulted
    | RunCancelled
    | RunRetried
    | RunCompensationEvent
)
