"""Starts the runs that tasks of other runs want, tells those what came of them, and has them cancelled or undone as a whole."""

from collections.abc import Iterator, Sequence

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
from events.run_compensation import RunCompensated
from events.run_parts import ParentTask, RunAwaited, RunError, UndoingAwaited
from infra.patterns.saga import Ask, Reaction, Saga
from sagas.run_waits import RUNTIME, Beginning, GivenUp, Refused, Waiting, answer, begun, error, fail, waits
from write_side.run_commands import CancelRun, CompensateRun, StartChildRun

NO_LONGER_WANTED = "the task that started it waits no more"
CANCELLED = "The child run was cancelled"

End = RunCompleted | RunFaulted | RunCancelled | RunCompensated


class ChildRuns(BaseModel):
    """The tasks that wait for the end of a child run, and those that wait until one is undone.

    `uncompensated` are parents that are being cancelled without undoing what they did. `lost` are children, by their parents, that ended
    while they were being undone: nothing can be undone of them any more.
    """

    waiting: Waiting = Waiting()
    undoing: Waiting = Waiting()
    uncompensated: set[str] = set()
    lost: dict[str, list[str]] = {}


def react(envelope: Envelope[Beginning | GivenUp | RunCancelRequested | End], state: ChildRuns) -> Sequence[Reaction]:
    run_id, event = envelope.entity_id, envelope.event
    match event:
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            return [*_start(run_id, event, state), *_undo(run_id, event, state)]
        case RunCancelRequested(compensate=compensate):
            if not compensate and run_id in state.waiting.outside:
                state.uncompensated.add(run_id)
        case RunTaskFaulted() | RunTaskCancelled():
            return _give_up(run_id, event, state)
        case RunCompleted() | RunFaulted() | RunCancelled() | RunCompensated():
            state.uncompensated.discard(run_id)
            state.lost.pop(run_id, None)
            return _end(run_id, event, state)
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
        if awaits.run_id in state.lost.get(run_id, ()):
            yield fail(ParentTask(run_id=run_id, task=task), error(RUNTIME, None, title=CANCELLED))
        else:
            state.undoing.add(awaits.run_id, run_id, task)
            yield Ask(CompensateRun(run_id=awaits.run_id), Refused(run_id, task))


def _give_up(run_id: str, event: GivenUp, state: ChildRuns) -> list[Reaction]:
    """A child that is being undone goes on with that."""
    state.undoing.give_up(run_id, event.task)
    child_id = state.waiting.given_up(event, run_id)
    if child_id is None:
        return []
    compensate = run_id not in state.uncompensated
    return [CancelRun(run_id=child_id, compensate=compensate, reason=NO_LONGER_WANTED)]


def _end(child_id: str, event: End, state: ChildRuns) -> list[Reaction]:
    undoing = state.undoing.end(child_id)
    if undoing is not None:
        return [_undone(undoing, child_id, event, state)]
    waiting = state.waiting.end(child_id)
    if waiting is None:
        return []
    if isinstance(event, RunCompleted):
        return [answer(waiting, event.output)]
    return [fail(waiting, _error(event))]


def _undone(undoing: ParentTask, child_id: str, event: End, state: ChildRuns) -> Reaction:
    if isinstance(event, RunCompensated):
        return answer(undoing, None)
    state.lost.setdefault(undoing.run_id, []).append(child_id)
    return fail(undoing, error(RUNTIME, None, title=CANCELLED))


def _error(event: RunFaulted | RunCancelled | RunCompensated) -> RunError:
    if isinstance(event, RunFaulted):
        return event.error
    if isinstance(event, RunCompensated) and event.error is not None:
        return event.error
    return error(RUNTIME, event.reason if isinstance(event, RunCancelled) else None, title=CANCELLED)


START_CHILD_RUNS_ON_TASK = Saga(
    name="start_child_runs_on_task",
    version=1,
    state=ChildRuns,
    handles=waits(RunCancelRequested, RunCompleted, RunFaulted, RunCancelled, RunCompensated),
    react=react,
)
