"""Asks people for the approvals that tasks of runs wait for, and tells the runs what was decided: a rejection is an answer, no error.

Who started a run counts as who wants its approvals, and so decides on none of them, unless the run says who else wants one. The same
holds for the runs that it starts, whether or not it waits for them.
"""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, JsonValue, ValidationError

from events.approval import ApprovalApproved, ApprovalCancelled, ApprovalDecided, ApprovalRejected, ApprovalTimedOut
from events.envelope import Envelope
from events.run import (
    RunCancelled,
    RunCompleted,
    RunFaulted,
    RunForked,
    RunRetried,
    RunStarted,
    RunTaskCancelled,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskStarted,
)
from events.run_compensation import RunCompensated
from events.run_parts import ApprovalAwaited, RunAwaited
from infra.patterns.saga import Ask, Reaction, Saga
from sagas.run_waits import (
    NO_LONGER_WANTED,
    RUNTIME,
    VALIDATION,
    Beginning,
    GivenUp,
    Refused,
    Waiting,
    answer,
    begun,
    error,
    fail_invalid,
    waits,
)
from write_side.approval import CancelApproval, RequestApproval
from write_side.run_commands import FailRunTask

OF_THE_SERVER = ("at", "actor", "groups_of_actor")
"""Fields of the command that no author fills."""

BESIDE_MAX = 10_000
"""How many runs are remembered that nobody waits for and that have not begun; beyond that the oldest half is forgotten."""

ApprovalEnd = ApprovalApproved | ApprovalRejected | ApprovalTimedOut
RunEvents = RunStarted | RunRetried | RunCompleted | RunFaulted | RunCancelled | RunCompensated


class RunBeside(BaseModel):
    """A run that another one started and does not wait for: who wants it, and since which position of the log."""

    wanted_by: str
    since: int


class AskedPeople(Waiting):
    """The tasks of runs that wait for people, what was decided so far, and who wanted the runs that have not ended.

    `beside` are the runs that others have asked for without waiting, until they begin.
    """

    decisions: dict[str, list[dict[str, JsonValue]]] = {}
    wanted_by: dict[str, str] = {}
    beside: dict[str, RunBeside] = {}


def react(
    envelope: Envelope[Beginning | GivenUp | RunEvents | ApprovalDecided | ApprovalEnd | ApprovalCancelled],
    state: AskedPeople,
) -> Sequence[Reaction]:
    entity_id, event = envelope.entity_id, envelope.event
    match event:
        case RunStarted() | RunRetried():
            _note_who_wants(envelope, event, state)
        case RunForked():
            state.wanted_by[entity_id] = envelope.origin.actor
            return list(_ask(entity_id, event, state))
        case RunTaskStarted() | RunTaskPrepared():
            _note_runs_beside(envelope, event, state)
            return list(_ask(entity_id, event, state))
        case RunTaskFaulted() | RunTaskCancelled():
            approval_id = state.given_up(event, entity_id)
            if approval_id is not None:
                state.decisions.pop(approval_id, None)
                return [CancelApproval(approval_id=approval_id, reason=NO_LONGER_WANTED)]
        case RunCompleted() | RunFaulted() | RunCancelled() | RunCompensated():
            state.wanted_by.pop(entity_id, None)
        case ApprovalDecided():
            if entity_id in state.tasks:
                state.decisions.setdefault(entity_id, []).append(event.model_dump(mode="json"))
        case ApprovalApproved() | ApprovalRejected() | ApprovalTimedOut():
            return _answer(entity_id, event, state)
        case ApprovalCancelled(reason=reason):
            state.decisions.pop(entity_id, None)
            return state.failed(entity_id, error(RUNTIME, reason, title="The approval was cancelled"))
        case _:
            pass
    return []


def _note_who_wants(
    envelope: Envelope[Beginning | GivenUp | RunEvents | ApprovalDecided | ApprovalEnd | ApprovalCancelled],
    event: RunStarted | RunRetried,
    state: AskedPeople,
) -> None:
    """A child run is wanted by whoever wants its parent."""
    actor: str | None = envelope.origin.actor
    beside = state.beside.pop(envelope.entity_id, None)
    if isinstance(event, RunStarted) and event.parent is not None:
        actor = state.wanted_by.get(event.parent.run_id)
    elif beside is not None:
        actor = beside.wanted_by
    if actor is not None:
        state.wanted_by[envelope.entity_id] = actor


def _note_runs_beside(
    envelope: Envelope[Beginning | GivenUp | RunEvents | ApprovalDecided | ApprovalEnd | ApprovalCancelled],
    event: RunTaskStarted | RunTaskPrepared,
    state: AskedPeople,
) -> None:
    """The run that starts it may have ended before it begins."""
    wanted_by = state.wanted_by.get(envelope.entity_id)
    for _, awaits in begun(event, RunAwaited):
        if not awaits.awaited and wanted_by is not None:
            state.beside[awaits.run_id] = RunBeside(wanted_by=wanted_by, since=envelope.position)
    if len(state.beside) > BESIDE_MAX:
        oldest_first = sorted(state.beside, key=lambda run_id: (state.beside[run_id].since, run_id))
        for run_id in oldest_first[: BESIDE_MAX // 2]:
            del state.beside[run_id]


def _ask(run_id: str, event: Beginning, state: AskedPeople) -> Iterator[Reaction]:
    for task, awaits in begun(event, ApprovalAwaited):
        given = [name for name in OF_THE_SERVER if name in awaits.request]
        if given:
            refused = error(VALIDATION, f"with/{given[0]}: is not for a workflow to say")
            yield FailRunTask(run_id=run_id, task=task, error=refused)
            continue
        asked = {"requested_by": state.wanted_by.get(run_id), **awaits.request, "approval_id": awaits.approval_id}
        try:
            request = RequestApproval.model_validate(asked)
        except ValidationError as invalid:
            yield fail_invalid(run_id, task, invalid)
        else:
            state.add(awaits.approval_id, run_id, task)
            yield Ask(request, Refused(run_id, task))


def _answer(approval_id: str, event: ApprovalEnd, state: AskedPeople) -> list[Reaction]:
    """What was decided, and each decision; that of a deadline has no actor."""
    decisions = state.decisions.pop(approval_id, [])
    waiting = state.end(approval_id)
    if waiting is None:
        return []
    answered: dict[str, JsonValue] = {"approved": isinstance(event, ApprovalApproved)}
    if isinstance(event, ApprovalTimedOut):
        answered = {"approved": event.decision == "approve", "timed_out": True}
        by_deadline: dict[str, JsonValue] = {"actor": None, "decision": event.decision, "answer": event.answer}
        decisions = [*decisions, {**by_deadline, "comment": None}]
    return [answer(waiting.run_id, waiting.task, {**answered, "decisions": list(decisions)})]


ASK_PEOPLE_ON_RUN_TASK = Saga(
    name="ask_people_on_run_task",
    version=2,
    state=AskedPeople,
    handles=waits(
        RunStarted,
        RunRetried,
        RunCompleted,
        RunFaulted,
        RunCancelled,
        RunCompensated,
        ApprovalDecided,
        ApprovalApproved,
        ApprovalRejected,
        ApprovalTimedOut,
        ApprovalCancelled,
    ),
    react=react,
)
