"""Starts the runs that tasks of other runs want, tells those what came of them, and has them cancelled or undone as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from events.envelope import Envelope
from events.run import (
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFaulted,
    RunForked,
    RunTaskCancelled,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskStarted,
)
from events.run_compensation import RunCompensated, RunCompensationSkipped, RunCompensationStarted, RunParked
from events.run_parts import ParentTask, RunAwaited, RunError, UndoingAwaited
from infra.patterns.saga import Ask, Reaction, Saga
from sagas.run_waits import RUNTIME, Beginning, GivenUp, Refused, Waiting, answer, begun, error, fail, waits
from write_side.run_commands import (
    AnswerRunTask,
    CancelRun,
    CompensateRun,
    FailRunTask,
    RetryRunCompensation,
    StartChildRun,
)

NO_LONGER_WANTED = "the task that started it waits no more"
UNDONE = "the run that it is part of is undone"
ALREADY_UNDONE, UNKNOWN = "run-already-undone", "run-unknown"
"""The codes of refusals that say that there is nothing to undo."""
CANCELLED = "The child run was cancelled"

Undoing = RunCompensationStarted | RunParked | RunCompensationSkipped
End = RunCompleted | RunFaulted | RunCancelled | RunCompensated


class ChildRuns(BaseModel):
    """The tasks that wait for the end of a child run, and those that wait until one is undone.

    `failed` are children that undo what they did while their parents wait for their end, with why, and `stuck` those of them that cannot.
    `parked` are children that an operator has to look at, with the tasks that waited until they were undone: their parents are parked for
    that. `uncompensated` are parents that are being cancelled without undoing what they did.
    """

    waiting: Waiting = Waiting()
    undoing: Waiting = Waiting()
    failed: dict[str, RunError] = {}
    stuck: dict[str, RunError] = {}
    parked: Waiting = Waiting()
    uncompensated: set[str] = set()


@dataclass(frozen=True, slots=True)
class NothingToUndo:
    """Tells the task that undoes a run what a refusal says: that it is undone already or has never begun, or that it cannot be."""

    run_id: str
    task: int

    def __call__(self, code: str, message: str) -> AnswerRunTask | FailRunTask:
        if code in (ALREADY_UNDONE, UNKNOWN):
            return AnswerRunTask(run_id=self.run_id, task=self.task)
        return Refused(self.run_id, self.task, RUNTIME)(code, message)


def react(
    envelope: Envelope[Beginning | GivenUp | RunCancelRequested | Undoing | End],
    state: ChildRuns,
) -> Sequence[Reaction]:
    run_id, event = envelope.entity_id, envelope.event
    match event:
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            return [*_start(run_id, event, state), *_undo(run_id, event, state)]
        case RunCancelRequested(compensate=compensate):
            if not compensate and run_id in state.waiting.outside:
                state.uncompensated.add(run_id)
        case RunTaskFaulted() | RunTaskCancelled():
            return _give_up(run_id, event, state)
        case RunCompensationStarted(error=why):
            if why is not None and run_id in state.waiting.tasks:
                state.failed[run_id] = why
        case RunParked(error=why):
            return _parked(run_id, why, state)
        case RunCompensationSkipped():
            _forget_undoing(run_id, state)
        case RunCompleted() | RunFaulted() | RunCancelled() | RunCompensated():
            state.uncompensated.discard(run_id)
            state.failed.pop(run_id, None)
            state.stuck.pop(run_id, None)
            _forget_undoing(run_id, state)
            return [*_undone(run_id, event, state), *_end(run_id, event, state)]
        case _:
            pass
    return []


def _start(run_id: str, event: Beginning, state: ChildRuns) -> Iterator[Reaction]:
    for task, awaits in begun(event, RunAwaited):
        if awaits.awaited:
            state.waiting.add(awaits.run_id, run_id, task)
        start = StartChildRun(
            run_id=awaits.run_id,
            workflow_id=awaits.workflow_id,
            workflow_version=awaits.workflow_version,
            input=awaits.input,
            parent=ParentTask(run_id=run_id, task=task) if awaits.awaited else None,
        )
        yield Ask(start, Refused(run_id, task))


def _undo(run_id: str, event: Beginning, state: ChildRuns) -> Iterator[Reaction]:
    for task, awaits in begun(event, UndoingAwaited):
        _forget_undoing(run_id, state)
        state.undoing.add(awaits.run_id, run_id, task)
        why = state.stuck.pop(awaits.run_id, None)
        if why is not None:
            yield from _parked(awaits.run_id, why, state)
        else:
            yield _compensate(awaits.run_id, ParentTask(run_id=run_id, task=task))


def _compensate(child_id: str, undoing: ParentTask) -> Ask:
    return Ask(CompensateRun(run_id=child_id, reason=UNDONE), NothingToUndo(undoing.run_id, undoing.task))


def _give_up(run_id: str, event: GivenUp, state: ChildRuns) -> list[Reaction]:
    """A child may have completed by then: it is undone all the same. One that is being undone goes on with that, or is stuck."""
    state.undoing.give_up(run_id, event.task)
    child_id = state.waiting.given_up(event, run_id)
    if child_id is None:
        return []
    if run_id in state.uncompensated:
        return [CancelRun(run_id=child_id, reason=NO_LONGER_WANTED)]
    if child_id in state.stuck:
        return []
    return [CompensateRun(run_id=child_id, reason=NO_LONGER_WANTED)]


def _parked(child_id: str, why: RunError, state: ChildRuns) -> list[Reaction]:
    """A parent that undoes it is parked too. One that waits for its end fails as it did, and is parked when it comes to undo it."""
    waiting = state.waiting.tasks.get(child_id)
    if waiting is not None:
        state.stuck[child_id] = why
        failed = state.failed.get(child_id) or error(RUNTIME, None, title=CANCELLED)
        return [FailRunTask(run_id=waiting.run_id, task=waiting.task, error=failed, given_up=child_id)]
    undoing = state.undoing.end(child_id)
    if undoing is None:
        return []
    state.parked.add(child_id, undoing.run_id, undoing.task)
    return [fail(undoing, why)]


def _forget_undoing(run_id: str, state: ChildRuns) -> None:
    """A run undoes one child at a time, and no more once it has ended."""
    for waiting in (state.parked, state.undoing):
        for task in [*waiting.outside.get(run_id, ())]:
            waiting.give_up(run_id, task)


def _undone(child_id: str, event: End, state: ChildRuns) -> list[Reaction]:
    """Whoever undoes it goes on. A child may complete before it is told that it is to be undone."""
    if isinstance(event, RunCompleted):
        return []
    undoing, parked = state.undoing.end(child_id), state.parked.end(child_id)
    if undoing is not None and isinstance(event, RunCancelled):
        # Only the run itself knows whether it undid what it had done before.
        return [_compensate(child_id, undoing)]
    if undoing is not None:
        return [answer(undoing.run_id, undoing.task, None)]
    if parked is not None and isinstance(event, RunCompensated):
        return [RetryRunCompensation(run_id=parked.run_id)]
    return []


def _end(child_id: str, event: End, state: ChildRuns) -> list[Reaction]:
    waiting = state.waiting.end(child_id)
    if waiting is None:
        return []
    if isinstance(event, RunCompleted):
        return [answer(waiting.run_id, waiting.task, event.output)]
    return [fail(waiting, _error(event))]


def _error(event: RunFaulted | RunCancelled | RunCompensated) -> RunError:
    if isinstance(event, RunFaulted):
        return event.error
    if isinstance(event, RunCompensated) and event.error is not None:
        return event.error
    return error(RUNTIME, event.reason if isinstance(event, RunCancelled) else None, title=CANCELLED)


START_CHILD_RUNS_ON_TASK = Saga(
    name="start_child_runs_on_task",
    version=2,
    state=ChildRuns,
    handles=waits(
        RunCancelRequested,
        RunCompensationStarted,
        RunParked,
        RunCompensationSkipped,
        RunCompleted,
        RunFaulted,
        RunCancelled,
        RunCompensated,
    ),
    react=react,
)
