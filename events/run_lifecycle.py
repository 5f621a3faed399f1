"""How the lifecycle events of the specification follow from the events of a run, taken in order.

One event of a run leads to none, one or several of them. What a single event does not say, such as where its task stands in the
definition, is carried along: the tasks that are open, nothing of those that have gone. Never rejects; an event of a task that is not known
tells nothing.

What the specification has no word for: a task whose condition does not hold is not created. A run that undoes what it did is running, and
when that is done it has faulted, or was cancelled, for the reason that it had; the tasks that undo others are tasks. A completed run that
is undone stays completed. A failed run that an operator tries again is resumed, and so are its tasks that had not failed.
"""

from collections.abc import Sequence
from typing import Self, get_args

from events.envelope import Envelope
from events.event import Event
from events.lifecycle import (
    DefinitionReference,
    LifecycleError,
    LifecycleEvent,
    LifecyclePhase,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowCorrelationCompletedEvent,
    WorkflowCorrelationStartedEvent,
    WorkflowFaultedEvent,
    WorkflowResumedEvent,
    WorkflowStartedEvent,
    WorkflowStatusChangedEvent,
    WorkflowSuspendedEvent,
)
from events.run import (
    RunCancelled,
    RunCompleted,
    RunErrorCaught,
    RunEvent,
    RunEventConsumed,
    RunFaulted,
    RunForked,
    RunInputFormed,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
    RunTaskStarted,
)
from events.run_compensation import (
    RunCompensated,
    RunCompensationFailed,
    RunCompensationSkipped,
    RunCompensationStarted,
    RunTaskCompensated,
)
from events.run_lifecycle_fork import open_tasks
from events.run_lifecycle_tasks import OpenTask, OpenTasks, Telling, listens, phase_of
from events.run_parts import DocumentsAwaited, RunError

TaskEvent = (
    RunTaskStarted
    | RunTaskPrepared
    | RunTaskSkipped
    | RunTaskAnswered
    | RunTaskCompleted
    | RunTaskFaulted
    | RunTaskCancelled
    | RunTaskRetried
    | RunErrorCaught
    | RunEventConsumed
)
UndoingEvent = (
    RunCompensationStarted | RunTaskCompensated | RunCompensationSkipped | RunCompensationFailed | RunCompensated
)
TOLD_OF: tuple[type[Event], ...] = (
    RunStarted,
    RunForked,
    RunInputFormed,
    *get_args(TaskEvent),
    RunSuspended,
    RunResumed,
    RunCompleted,
    RunFaulted,
    RunCancelled,
    RunRetried,
    *get_args(UndoingEvent),
)
"""The events of a run that lead to any; the others may be left out."""


class RunLifecycle:
    """One run, from its first event on."""

    def __init__(self) -> None:
        self._name = ""
        self._tasks = OpenTasks()
        self._fetching: dict[int, int] = {}
        self._formed = False
        self._ended: LifecyclePhase | None = None
        self._told: LifecyclePhase | None = None

    def copy(self) -> Self:
        """One that goes on independently of this one."""
        other = type(self)()
        other._name, other._tasks, other._fetching = self._name, self._tasks.copy(), dict(self._fetching)
        other._formed, other._ended, other._told = self._formed, self._ended, self._told
        return other

    @property
    def over(self) -> bool:
        """Whether the run has ended: more is told only if somebody takes it up again."""
        return self._ended is not None

    def tell(self, envelope: Envelope[RunEvent]) -> Sequence[LifecycleEvent]:
        """What is told of the run's next event."""
        event = envelope.event
        if isinstance(event, RunStarted | RunForked):
            self._name = _qualified(event.workflow_id, envelope.entity_id)
        telling = Telling(self._name, envelope.occurred_at)
        if isinstance(event, TaskEvent):
            self._tell_of_task(telling, event)
        elif isinstance(event, UndoingEvent):
            self._tell_of_undoing(telling, event)
        else:
            self._tell_of_run(telling, event)
        self._tell_status(telling)
        return telling.events

    def _tell_of_run(self, telling: Telling, event: RunEvent) -> None:
        name, at, tasks = self._name, telling.at, self._tasks
        match event:
            case RunStarted() | RunForked():
                definition = _definition(event.workflow_id, event.workflow_version)
                telling.events += [WorkflowStartedEvent(name=name, definition=definition, started_at=event.started_at)]
                if isinstance(event, RunForked):
                    self._go_on_from(telling, event)
                else:
                    self._formed = event.going
            case RunInputFormed():
                self._formed = True
            case RunSuspended():
                telling.events.append(WorkflowSuspendedEvent(name=name, suspended_at=at))
                tasks.suspend(telling)
            case RunResumed():
                telling.events.append(WorkflowResumedEvent(name=name, resumed_at=at))
                tasks.resume(telling)
            case RunCompleted():
                tasks.give_up_below(telling, 0)
                telling.events.append(WorkflowCompletedEvent(name=name, completed_at=at))
                self._ended = "completed"
            case RunFaulted(error=error):
                tasks.interrupt(telling, error)
                self._fail(telling, error)
            case RunCancelled():
                tasks.give_up_below(telling, 0)
                self._cancel(telling)
            case RunRetried() if self._ended == "faulted":
                self._ended = None
                telling.events.append(WorkflowResumedEvent(name=name, resumed_at=at))
                tasks.go_on(telling)

    def _tell_of_task(self, telling: Telling, event: TaskEvent) -> None:
        tasks, number = self._tasks, event.task
        match event:
            case RunTaskStarted(kind="document", parent=parent, awaits=awaits):
                # What is fetched is no task of the definition: if it cannot be had, the call of that function has failed.
                if isinstance(awaits, DocumentsAwaited) and awaits.of == "function":
                    self._fetching[number] = parent
            case RunTaskStarted():
                self._start(telling, event)
            case RunTaskPrepared(items=items, awaits=awaits):
                task = tasks.get(number)
                branches = len(items or ()) if task is not None and task.forks else 0
                tasks.start(telling, number, phase=phase_of(awaits), listens=listens(awaits), branches=branches)
                if listens(awaits):
                    self._tell_of_listening(telling)
            case RunTaskSkipped(parent=parent, reference=reference):
                tasks.took_turn(parent, reference)
            case RunTaskAnswered():
                tasks.change(telling, number, phase="running")
            case RunEventConsumed():
                self._consume(telling, event)
            case RunTaskCompleted():
                task = tasks.get(number)
                if task is not None and task.listens:
                    self._tell_of_correlation(telling, task)
                tasks.complete(telling, number)
            case RunTaskFaulted(error=error):
                caller = self._fetching.pop(number, number)
                tasks.fail(telling, caller, error)
                if caller != number:
                    tasks.change(
                        telling, caller, failed=False
                    )  # It is not begun anew, only what it lacks is fetched again.
            case RunErrorCaught():
                tasks.give_up_below(telling, number)
            case RunTaskRetried():
                tasks.retry(telling, number)
            case RunTaskCancelled():
                tasks.give_up(telling, number)

    def _tell_of_undoing(self, telling: Telling, event: UndoingEvent) -> None:
        tasks = self._tasks
        match event:
            case RunCompensationStarted(error=error):
                tasks.suspended = False
                tasks.interrupt(telling, error)
                if self._ended == "faulted":
                    self._ended = None
            case RunCompensationFailed(task=task, error=error):
                tasks.fail(telling, task, error)
            case RunCompensated(error=error) if self._ended is None and error is not None:
                self._fail(telling, error)
            case RunCompensated() if self._ended is None:
                self._cancel(telling)
            case _:
                pass
        tasks.give_up_below(telling, 0)

    def _start(self, telling: Telling, event: RunTaskStarted) -> None:
        awaits, forks = event.awaits, event.kind == "fork"
        task = OpenTask(
            event.reference,
            event.parent,
            forks,
            phase_of(awaits) if event.prepared else "pending",
            branches=len(event.items or ()) if forks else 0,
            listens=listens(awaits),
        )
        self._tasks.begin(telling, event.task, task, event.started_at)
        if task.listens:
            self._tell_of_listening(telling)

    def _tell_of_listening(self, telling: Telling) -> None:
        telling.events.append(WorkflowCorrelationStartedEvent(name=self._name, started_at=telling.at))

    def _consume(self, telling: Telling, event: RunEventConsumed) -> None:
        task = self._tasks.get(event.task)
        if task is None or not task.listens:
            return  # What subscribes to messages listens to nobody.
        found = {**task.correlations, **event.correlations}
        if not event.closed:
            self._tasks.change(telling, event.task, correlations=found)
            return
        self._tasks.change(telling, event.task, correlations=found, listens=False, phase="running")
        changed = self._tasks.get(event.task)
        if changed is not None:
            self._tell_of_correlation(telling, changed)

    def _tell_of_correlation(self, telling: Telling, task: OpenTask) -> None:
        name, keys = self._name, dict(task.correlations) or None
        telling.events += [WorkflowCorrelationCompletedEvent(name=name, completed_at=telling.at, correlation_keys=keys)]

    def _fail(self, telling: Telling, error: RunError) -> None:
        why = LifecycleError(**error.model_dump())
        telling.events.append(WorkflowFaultedEvent(name=self._name, faulted_at=telling.at, error=why))
        self._ended = "faulted"

    def _cancel(self, telling: Telling) -> None:
        telling.events.append(WorkflowCancelledEvent(name=self._name, cancelled_at=telling.at))
        self._ended = "cancelled"

    def _tell_status(self, telling: Telling) -> None:
        phase = self._phase()
        if phase != self._told:
            telling.events += [WorkflowStatusChangedEvent(name=self._name, updated_at=telling.at, status=phase)]
            self._told = phase

    def _phase(self) -> LifecyclePhase:
        if self._ended is not None:
            return self._ended
        if self._tasks.suspended:
            return "suspended"
        if not self._formed:
            return "pending"
        return "waiting" if self._tasks.only_wait else "running"

    def _go_on_from(self, telling: Telling, event: RunForked) -> None:
        """What is open where a forked run begins is created and started there."""
        self._formed, tasks = open_tasks(event)
        for number, task in tasks.items():
            self._tasks.begin(telling, number, task, event.started_at)
            if task.listens:
                self._tell_of_listening(telling)


def _qualified(workflow_id: str, run_id: str) -> str:
    namespace, _, name = workflow_id.partition(".")
    return f"{name}-{run_id}.{namespace}"


def _definition(workflow_id: str, version: str) -> DefinitionReference:
    namespace, _, name = workflow_id.partition(".")
    return DefinitionReference(name=name, namespace=namespace, version=version)
