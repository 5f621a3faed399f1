"""The open tasks of a run, and what is told when they begin, change and end, in the words of the specification."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import JsonValue

from events.lifecycle import (
    LifecycleError,
    LifecycleEvent,
    LifecyclePhase,
    TaskCancelledEvent,
    TaskCompletedEvent,
    TaskCreatedEvent,
    TaskFaultedEvent,
    TaskResumedEvent,
    TaskRetriedEvent,
    TaskStartedEvent,
    TaskStatusChangedEvent,
    TaskSuspendedEvent,
)
from events.run_parts import Awaited, EventsAwaited, RunError, TimerAwaited


@dataclass(slots=True)
class Telling:
    """What is told of one event of a run: the run's qualified name, when it happened, and the lifecycle events."""

    workflow: str
    at: datetime
    events: list[LifecycleEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OpenTask:
    """`ended` is what was told of a task that has not gone for good: it failed, or was open when its run did. `failed`: it did itself.

    `children` are open, `branches` of a fork have yet to begin. What `listens` has not all its events.
    """

    reference: str
    parent: int
    forks: bool = False
    phase: Literal["pending", "running", "waiting"] = "running"
    ended: Literal["faulted", "cancelled"] | None = None
    failed: bool = False
    children: int = 0
    branches: int = 0
    listens: bool = False
    correlations: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        return self.ended is None and self.phase == "waiting"

    @property
    def busy(self) -> bool:
        """Whether something is being done about it, not only about what is below it."""
        if self.ended is not None:
            return self.failed
        return self.phase != "waiting" and (self.children == 0 or self.branches > 0)


def phase_of(awaits: Awaited | None) -> Literal["running", "waiting"]:
    """Only what waits for a time or for events is waiting; calls and what other streams do are under way."""
    return "waiting" if isinstance(awaits, EventsAwaited | TimerAwaited) else "running"


def listens(awaits: Awaited | None) -> bool:
    return isinstance(awaits, EventsAwaited)


def is_branch(reference: str, parent: OpenTask) -> bool:
    """Whether what stands there is one of the branches of a fork."""
    return parent.forks and reference.startswith(f"{parent.reference}/fork/branches/")


class OpenTasks:
    """By number, parents first. As large as what is open: nothing is kept of a task that has gone."""

    def __init__(self) -> None:
        self._tasks: dict[int, OpenTask] = {}
        self._busy = 0
        self._waiting = 0
        self.suspended = False

    def copy(self) -> Self:
        """One that changes independently of this one."""
        other = type(self)()
        other._tasks = dict(self._tasks)
        other._busy, other._waiting, other.suspended = self._busy, self._waiting, self.suspended
        return other

    @property
    def only_wait(self) -> bool:
        """Whether there is nothing to do until an event or a time comes."""
        return self._waiting > 0 and self._busy == 0

    def get(self, number: int) -> OpenTask | None:
        return self._tasks.get(number)

    def begin(self, telling: Telling, number: int, task: OpenTask, at: datetime) -> None:
        """It is a task's turn, and unless it is `pending` it has started."""
        reference = task.reference
        telling.events.append(TaskCreatedEvent(workflow=telling.workflow, task=reference, created_at=at))
        if task.phase != "pending":
            telling.events.append(TaskStartedEvent(workflow=telling.workflow, task=reference, started_at=at))
        self.took_turn(task.parent, reference, children=1)
        self._put(number, task)
        self._tell_status(telling, task)

    def took_turn(self, parent: int, reference: str, children: int = 0) -> None:
        """One below a task had its turn; it has gone by if it has no children for it."""
        above = self._tasks.get(parent)
        if above is not None:
            branches = max(0, above.branches - is_branch(reference, above))
            self._put(parent, replace(above, children=above.children + children, branches=branches))

    def start(self, telling: Telling, number: int, **changes: Any) -> None:
        """What was to be done before a task is done."""
        task = self._tasks.get(number)
        if task is not None:
            reference = task.reference
            telling.events.append(TaskStartedEvent(workflow=telling.workflow, task=reference, started_at=telling.at))
            self.change(telling, number, **changes)

    def change(self, telling: Telling, number: int, **changes: Any) -> None:
        task = self._tasks.get(number)
        if task is not None:
            changed = replace(task, **changes)
            self._put(number, changed)
            if self._shown(changed) != self._shown(task):
                self._tell_status(telling, changed)

    def retry(self, telling: Telling, number: int) -> None:
        """A task tries again what it is made of."""
        task = self._tasks.get(number)
        if task is not None:
            retried = TaskRetriedEvent(workflow=telling.workflow, task=task.reference, retried_at=telling.at)
            telling.events.append(retried)

    def complete(self, telling: Telling, number: int) -> None:
        task = self._tasks.get(number)
        if task is None:
            return
        self.give_up_below(telling, number)
        completed = TaskCompletedEvent(workflow=telling.workflow, task=task.reference, completed_at=telling.at)
        telling.events.append(completed)
        self._tell_status(telling, task, "completed")
        self._remove(number)

    def fail(self, telling: Telling, number: int, error: RunError) -> None:
        """A task has failed; it stays until it is clear what that leads to. That of the run itself (0) ends all."""
        self.give_up_below(telling, number)
        task = self._tasks.get(number)
        if task is not None:
            self._end(telling, number, error)
            self._put(number, replace(self._tasks[number], failed=True))

    def give_up(self, telling: Telling, number: int) -> None:
        self.give_up_below(telling, number)
        if number in self._tasks:
            self._end(telling, number)
            self._remove(number)

    def give_up_below(self, telling: Telling, number: int) -> None:
        """All that is open below a task, the latest first; 0 is the run."""
        for other in reversed(self._below(number)):
            self._end(telling, other)
            self._remove(other)

    def _below(self, number: int) -> list[int]:
        if number == 0:
            return list(self._tasks)
        above = self._tasks.get(number)
        if above is None or above.children == 0:
            return []
        inside = {number}
        for other, task in self._tasks.items():
            if task.parent in inside:
                inside.add(other)
        return [other for other in self._tasks if other in inside and other != number]

    def interrupt(self, telling: Telling, error: RunError | None) -> None:
        """The run has failed: what a failed task was part of has failed with it, the rest is given up. They may go on later."""
        failed: set[int] = set()
        for task in [task for task in self._tasks.values() if task.failed]:
            above = task.parent
            while above in self._tasks and above not in failed:
                failed.add(above)
                above = self._tasks[above].parent
        for number in reversed(self._tasks):
            self._end(telling, number, error if number in failed else None)

    def go_on(self, telling: Telling) -> None:
        """The run is tried again from what failed: what that was part of is tried again too, the rest goes on."""
        for number, task in list(self._tasks.items()):
            if task.ended == "faulted":
                self.retry(telling, number)
            elif task.ended == "cancelled":
                resumed = TaskResumedEvent(workflow=telling.workflow, task=task.reference, resumed_at=telling.at)
                telling.events.append(resumed)
            if task.failed:
                self._remove(number)
                above = self._tasks.get(task.parent)
                if above is not None and is_branch(task.reference, above):
                    self._put(task.parent, replace(above, branches=above.branches + 1))
            else:
                self.change(telling, number, ended=None)

    def suspend(self, telling: Telling) -> None:
        self.suspended = True
        for task in self._tasks.values():
            if task.ended is None:
                told = TaskSuspendedEvent(workflow=telling.workflow, task=task.reference, suspended_at=telling.at)
                telling.events.append(told)
                self._tell_status(telling, task)

    def resume(self, telling: Telling) -> None:
        self.suspended = False
        for task in self._tasks.values():
            if task.ended is None:
                told = TaskResumedEvent(workflow=telling.workflow, task=task.reference, resumed_at=telling.at)
                telling.events.append(told)
                self._tell_status(telling, task)

    def _end(self, telling: Telling, number: int, error: RunError | None = None) -> None:
        """Tell that a task has failed, or was given up if there is no error; not of one that had ended."""
        task = self._tasks[number]
        if task.ended is not None:
            return
        workflow, reference, at = telling.workflow, task.reference, telling.at
        if error is None:
            telling.events.append(TaskCancelledEvent(workflow=workflow, task=reference, cancelled_at=at))
        else:
            why = LifecycleError(**error.model_dump())
            telling.events.append(TaskFaultedEvent(workflow=workflow, task=reference, faulted_at=at, error=why))
        self.change(telling, number, ended="cancelled" if error is None else "faulted")

    def _shown(self, task: OpenTask) -> LifecyclePhase:
        return task.ended or ("suspended" if self.suspended else task.phase)

    def _tell_status(self, telling: Telling, task: OpenTask, status: LifecyclePhase | None = None) -> None:
        told = TaskStatusChangedEvent(
            workflow=telling.workflow, task=task.reference, updated_at=telling.at, status=status or self._shown(task)
        )
        telling.events.append(told)

    def _put(self, number: int, task: OpenTask) -> None:
        self._count(self._tasks.get(number), -1)
        self._tasks[number] = task
        self._count(task, 1)

    def _remove(self, number: int) -> None:
        task = self._tasks.pop(number)
        self._count(task, -1)
        above = self._tasks.get(task.parent)
        if above is not None:
            self._put(task.parent, replace(above, children=max(0, above.children - 1)))

    def _count(self, task: OpenTask | None, by: int) -> None:
        if task is not None:
            self._busy += by * task.busy
            self._waiting += by * task.waits
