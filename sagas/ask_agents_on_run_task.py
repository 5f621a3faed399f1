"""Asks agents for what tasks of runs want of them, and tells the runs what came of it."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from events.envelope import Envelope
from events.run import RunForked, RunTaskCancelled, RunTaskFaulted, RunTaskPrepared, RunTaskStarted
from events.run_parts import AgentTaskAwaited, RunError
from events.task import TaskCancelled, TaskCompleted, TaskFailed, TaskTimedOut
from infra.patterns.saga import Ask, Reaction, Saga
from sagas.run_waits import (
    NO_LONGER_WANTED,
    RUNTIME,
    TIMEOUT,
    Beginning,
    GivenUp,
    Refused,
    Waiting,
    begun,
    error,
    fail_invalid,
    waits,
)
from write_side.task import CancelTask, RequestTask


class AskedAgents(Waiting):
    """The tasks of runs that wait for agents."""


def react(
    envelope: Envelope[Beginning | GivenUp | TaskCompleted | TaskFailed | TaskTimedOut | TaskCancelled],
    state: AskedAgents,
) -> Sequence[Reaction]:
    entity_id, event = envelope.entity_id, envelope.event
    match event:
        case RunTaskStarted() | RunTaskPrepared() | RunForked():
            return list(_ask(entity_id, event, state))
        case RunTaskFaulted() | RunTaskCancelled():
            task_id = state.given_up(event, entity_id)
            return [CancelTask(task_id=task_id, reason=NO_LONGER_WANTED)] if task_id is not None else []
        case TaskCompleted(result=result):
            return state.answered(entity_id, result)
        case TaskFailed() | TaskTimedOut() | TaskCancelled():
            return state.failed(entity_id, _error(event))
        case _:
            pass
    return []


def _ask(run_id: str, event: Beginning, state: AskedAgents) -> Iterator[Reaction]:
    for task, awaits in begun(event, AgentTaskAwaited):
        asked = awaits.model_dump(exclude={"kind"}, exclude_none=True)
        try:
            request = RequestTask.model_validate({**asked, "input": awaits.input})
        except ValidationError as invalid:
            yield fail_invalid(run_id, task, invalid)
        else:
            state.add(awaits.task_id, run_id, task)
            yield Ask(request, Refused(run_id, task))


def _error(event: TaskFailed | TaskTimedOut | TaskCancelled) -> RunError:
    match event:
        case TaskFailed(error=detail):
            return error(RUNTIME, detail)
        case TaskTimedOut():
            return error(TIMEOUT, "the agent did not finish the task in time")
        case TaskCancelled(reason=reason):
            return error(RUNTIME, reason, title="The agent's task was cancelled")


ASK_AGENTS_ON_RUN_TASK = Saga(
    name="ask_agents_on_run_task",
    version=1,
    state=AskedAgents,
    handles=waits(TaskCompleted, TaskFailed, TaskTimedOut, TaskCancelled),
    react=react,
)
