"""Has runs go on as soon as anything has happened to them, and their calls and processes carried out, documents fetched."""

from collections.abc import Sequence

from events.envelope import Envelope
from events.run import (
    RunAdvanced,
    RunCancelRequested,
    RunEvent,
    RunEventReceived,
    RunForked,
    RunResumed,
    RunRetried,
    RunStarted,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskStarted,
)
from events.run_compensation import RunCompensationEvent, RunCompensationSkipped, RunCompensationStarted
from events.run_parts import CallAwaited, DocumentsAwaited, ProcessAwaited
from infra.patterns.activity import Activity, Doing, Over, Performance
from write_side.run_commands import AdvanceRun


def key_of(run_id: str, task: int) -> str:
    """The key of a task's activity."""
    return f"{run_id}/{task}"


def task_of(key: str) -> tuple[str, int]:
    """The run and the task of an activity."""
    run_id, _, task = key.rpartition("/")
    return run_id, int(task)


def react(envelope: Envelope[RunEvent | RunCompensationEvent]) -> Sequence[Doing]:
    run_id = envelope.entity_id
    match envelope.event:
        case RunTaskStarted(task=task, awaits=awaits) | RunTaskPrepared(task=task, awaits=awaits):
            wanted = isinstance(awaits, CallAwaited | ProcessAwaited | DocumentsAwaited)
            return [Activity(key_of(run_id, task))] if wanted else []
        case (
            RunTaskAnswered(task=task)
            | RunTaskCompleted(task=task)
            | RunTaskFaulted(task=task)
            | RunTaskCancelled(task=task)
        ):
            return [Over(key_of(run_id, task))]
        case RunStarted(going=True):
            pass
        case (
            RunStarted()
            | RunForked()
            | RunAdvanced()
            | RunResumed()
            | RunRetried()
            | RunCancelRequested()
            | RunEventReceived()
            | RunCompensationStarted()
            | RunCompensationSkipped()
        ):
            return [AdvanceRun(run_id=run_id)]
        case _:
            pass
    return []


CARRY_OUT_CALLS_ON_RUN_TASK = Performance(
    name="carry_out_calls_on_run_task",
    version=1,
    handles=(
        RunStarted,
        RunForked,
        RunAdvanced,
        RunResumed,
        RunRetried,
        RunCancelRequested,
        RunEventReceived,
        RunCompensationStarted,
        RunCompensationSkipped,
        RunTaskStarted,
        RunTaskPrepared,
        RunTaskAnswered,
        RunTaskCompleted,
        RunTaskFaulted,
        RunTaskCancelled,
    ),
    react=react,
)
