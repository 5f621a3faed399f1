"""Sets the timers of runs: the ends of waits and of timeouts, and the next attempts.

None is ever cancelled: the decider sees whether the run still waits for that moment.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import JsonValue

from events.envelope import Envelope
from events.run import RunErrorCaught, RunForked, RunStarted, RunTaskPrepared, RunTaskStarted
from events.run_compensation import RunCompensationFailed
from events.run_parts import TimerAwaited
from infra.patterns.saga import Reaction, Saga, Schedule
from sagas.run_waits import BEGINNINGS, Beginning, begun, nodes_of
from sagas.time_out_tasks_on_deadline import Nothing
from write_side.run_commands import FireRunTimer, TimeOutRunTask

RUN = 0
"""Stands for the run itself where a task is named."""

Timed = Beginning | RunStarted | RunErrorCaught | RunCompensationFailed


def react(envelope: Envelope[Timed], state: Nothing) -> Sequence[Reaction]:
    run_id, event = envelope.entity_id, envelope.event
    match event:
        case RunStarted(times_out_at=datetime() as due_at):
            return [_time_out(run_id, RUN, due_at)]
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            return list(_of_beginning(run_id, event))
        case (
            RunErrorCaught(task=task, retry_at=datetime() as due_at)
            | RunCompensationFailed(task=task, retry_at=datetime() as due_at)
        ):
            return [_fire(run_id, task, due_at)]
        case _:
            pass
    return []


def _of_beginning(run_id: str, event: Beginning) -> Iterator[Reaction]:
    for task, awaits in begun(event, TimerAwaited):
        yield _fire(run_id, task, awaits.until)
    if isinstance(event, RunTaskStarted) and event.times_out_at is not None:
        yield _time_out(run_id, event.task, event.times_out_at)
    if isinstance(event, RunForked):
        for node in nodes_of(event.state):
            if node.get("phase") == "delayed":
                yield _fire(run_id, int(str(node["task"])), _moment(node["retry_at"]))
        for deadline in event.deadlines or ():
            yield _time_out(run_id, deadline.task, deadline.at)


def _moment(value: JsonValue) -> datetime:
    return datetime.fromisoformat(str(value))


def _fire(run_id: str, task: int, due_at: datetime) -> Schedule:
    return Schedule(due_at, FireRunTimer(run_id=run_id, task=task, due_at=due_at))


def _time_out(run_id: str, task: int, due_at: datetime) -> Schedule:
    return Schedule(due_at, TimeOutRunTask(run_id=run_id, task=task, due_at=due_at))


TIME_RUNS_ON_TASK = Saga(
    name="time_runs_on_task",
    version=1,
    state=Nothing,
    handles=(RunStarted, *BEGINNINGS, RunErrorCaught, RunCompensationFailed),
    react=react,
)
