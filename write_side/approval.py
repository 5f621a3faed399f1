"""Decides who may approve what, and when it is approved, rejected or no longer asked."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, assert_never, get_args

from pydantic import Field, JsonValue
from pydantic_core import to_json

from events.approval import (
    ApprovalApproved,
    ApprovalCancelled,
    ApprovalDecided,
    ApprovalEvent,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalsNeeded,
    ApprovalTimedOut,
    Decision,
    GivenAnswer,
)
from events.event import Id, JsonAny, JsonObject, JsonTold, Label, Name, Reason, Text
from infra.errors import Invalid, NotFound, Rejection
from infra.expressions.schema import violations
from infra.ids import new_id
from infra.patterns.decider import Command, Decider
from write_side.acted import Acted, Actor
from write_side.timed import Timed

TIMEOUT_S_MIN = 0.001
TIMEOUT_S_MAX = 365 * 24 * 3600
ASKED_MAX = 100
NAMED_MAX = 10
ANSWER_BYTES_MAX = 40_000
"""Of one answer as JSON: the event that ends an approval holds all of them."""

TimeoutS = Annotated[float, Field(ge=TIMEOUT_S_MIN, le=TIMEOUT_S_MAX, allow_inf_nan=False)]
"""How long an approval may stay open, in seconds."""


class RequestApproval(Timed, Acted):
    """Ask people, or members of groups, to approve; neither who sends this nor `requested_by` may decide.

    `form` is a JSON Schema of what they fill in, `context` what they should see. After `timeout_s` the answer is `on_timeout`, with
    `default_answer`.
    """

    creates = True

    approval_id: Id = Field(default_factory=new_id)
    title: Name
    description: Text | None = None
    people: tuple[Actor, ...] = Field(default=(), max_length=ASKED_MAX)
    groups: tuple[Label, ...] = Field(default=(), max_length=ASKED_MAX)
    approvals_needed: ApprovalsNeeded = 1
    form: JsonObject | None = None
    context: JsonAny = None
    requested_by: Name | None = None
    timeout_s: TimeoutS | None = None
    on_timeout: Decision = "reject"
    default_answer: JsonTold = None


class DecideApproval(Acted):
    """Approve or reject, with an answer to the form; the sender of this is who decides."""

    is_default = True

    approval_id: Id
    decision: Decision
    answer: JsonTold = None
    comment: Reason | None = None


class CancelApproval(Command):
    """Want the approval no longer."""

    approval_id: Id
    reason: Reason | None = None


class TimeOutApproval(Command):
    """End the approval because its deadline has come; nothing happens if it has ended or has no deadline."""

    public = False

    approval_id: Id


ApprovalCommand = RequestApproval | DecideApproval | CancelApproval | TimeOutApproval


class ApprovalUnknown(NotFound):
    """There is no such approval."""


class ApprovalAlreadyExists(Rejection):
    """There is an approval with this id already."""


class ApprovalAlreadyEnded(Rejection):
    """The approval has ended."""


class ApprovalAlreadyDecided(Rejection):
    """This person has decided already."""


class NotAskedToApprove(Rejection):
    """Only people who are named, and members of groups that are named, may decide."""


class OwnApproval(Rejection):
    """Nobody decides on their own request."""


class ApprovalForNobody(Invalid):
    """An approval is asked of people or of groups: name at least one."""


class TooFewToApprove(Invalid):
    """More approvals are needed than there are people who may give one."""


class InvalidForm(Invalid):
    """The form is not a JSON Schema."""


class AnswerDoesNotFit(Invalid):
    """The answer is not as the form wants it, or is too large."""


Ended = Literal["approved", "rejected", "cancelled", "timed_out"]
ENDED = frozenset(get_args(Ended))


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """`excluded` may not decide, whoever is asked; `answers` are those of the people who approved so far."""

    status: Literal["unknown", "requested"] | Ended = "unknown"
    people: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    approvals_needed: int = 1
    form: dict[str, JsonValue] | None = None
    deadline_at: datetime | None = None
    on_timeout: Decision = "reject"
    default_answer: JsonValue = None
    answers: tuple[GivenAnswer, ...] = ()


UNKNOWN = ApprovalState()


def decide(command: ApprovalCommand, state: ApprovalState) -> list[ApprovalEvent]:
    if isinstance(command, RequestApproval):
        return _request(command, state)
    if state.status == "unknown":
        raise ApprovalUnknown(f"there is no approval {command.approval_id}", approval_id=command.approval_id)
    if isinstance(command, TimeOutApproval):
        if state.status in ENDED or state.deadline_at is None:
            return []
        return [ApprovalTimedOut(deadline_at=state.deadline_at, decision=state.on_timeout, answer=state.default_answer)]
    if state.status in ENDED:
        raise ApprovalAlreadyEnded(f"the approval has ended: {state.status}", approval_status=state.status)
    match command:
        case CancelApproval(reason=reason):
            return [ApprovalCancelled(reason=reason)]
        case DecideApproval():
            return _decide(command, _allowed(command, state), state)
        case _:
            assert_never(command)


def _request(command: RequestApproval, state: ApprovalState) -> list[ApprovalEvent]:
    if state.status != "unknown":
        raise ApprovalAlreadyExists(
            f"there is an approval {command.approval_id} already", approval_id=command.approval_id
        )
    requested_by = command.requested_by or command.actor
    _require_enough(command, {requested_by, command.actor})
    if command.form is not None:
        _require_schema(command.form)
    if command.default_answer is not None or (command.timeout_s is not None and command.on_timeout == "approve"):
        _require_fit(command.form, command.default_answer, "/default_answer")
    requested = ApprovalRequested(
        title=command.title,
        description=command.description,
        people=tuple(dict.fromkeys(command.people)),
        groups=tuple(dict.fromkeys(command.groups)),
        approvals_needed=command.approvals_needed,
        form=command.form,
        context=command.context,
        requested_by=requested_by,
        sent_by=None if command.actor == requested_by else command.actor,
        deadline_at=None if command.timeout_s is None else command.at + timedelta(seconds=command.timeout_s),
        on_timeout=command.on_timeout,
        default_answer=command.default_answer,
    )
    return [requested]


def _require_enough(command: RequestApproval, excluded: set[str | None]) -> None:
    """How many members a group has is not known here: if one is named there may be enough."""
    if not command.people and not command.groups:
        raise ApprovalForNobody
    if not command.groups and len(set(command.people) - excluded) < command.approvals_needed:
        raise TooFewToApprove


def _require_schema(form: dict[str, JsonValue]) -> None:
    try:
        violations(form, None)
    except ValueError as error:
        raise InvalidForm(errors=[{"pointer": "/form", "detail": str(error)}]) from error


def _require_fit(form: dict[str, JsonValue] | None, answer: JsonValue, pointer: str) -> None:
    if answer is not None and len(to_json(answer)) > ANSWER_BYTES_MAX:
        detail = f"must have at most {ANSWER_BYTES_MAX} bytes as JSON"
        raise AnswerDoesNotFit(errors=[{"pointer": pointer, "detail": detail}])
    if form is None:
        return
    try:
        found = violations(form, answer)
    except ValueError as error:
        # Where a reference leads nowhere may only come to light with the value that it is for.
        raise InvalidForm(errors=[{"pointer": "/form", "detail": str(error)}]) from error
    if found:
        raise AnswerDoesNotFit(errors=[{"pointer": pointer, "detail": detail} for detail in found])


def _allowed(command: DecideApproval, state: ApprovalState) -> str:
    """The actor, if they may decide."""
    actor = command.actor
    if actor is None or (actor not in state.people and state.groups.isdisjoint(command.groups_of_actor)):
        raise _not_asked(actor, state)
    if actor in state.excluded:
        raise OwnApproval
    if any(given.actor == actor for given in state.answers):
        raise ApprovalAlreadyDecided
    return actor


def _not_asked(actor: str | None, state: ApprovalState) -> NotAskedToApprove:
    """Tells of nobody but those whom the request names, and not of more than NAMED_MAX."""
    names = [*sorted(state.people - state.excluded), *(f"members of {group}" for group in sorted(state.groups))]
    more = [f"{len(names) - NAMED_MAX} more"] if len(names) > NAMED_MAX else []
    *first, last = [*names[:NAMED_MAX], *more] or ["nobody"]
    those = f"{', '.join(first)} and {last}" if first else last
    return NotAskedToApprove(f"{actor or 'anonymous'} may not decide: {those} may.")


def _decide(command: DecideApproval, actor: str, state: ApprovalState) -> list[ApprovalEvent]:
    """A form is what approving takes; who rejects may leave it out."""
    answer, comment = command.answer, command.comment
    if command.decision == "approve" or answer is not None:
        _require_fit(state.form, answer, "/answer")
    decided = ApprovalDecided(actor=actor, decision=command.decision, answer=answer, comment=comment)
    if command.decision == "reject":
        return [decided, ApprovalRejected(actor=actor, answer=answer, comment=comment)]
    answers = (*state.answers, GivenAnswer(actor=actor, answer=answer))
    if len(answers) < state.approvals_needed:
        return [decided]
    return [decided, ApprovalApproved(answers=answers)]


def evolve(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    match event:
        case ApprovalRequested():
            return ApprovalState(
                "requested",
                frozenset(event.people),
                frozenset(event.groups),
                frozenset(actor for actor in (event.requested_by, event.sent_by) if actor is not None),
                event.approvals_needed,
                event.form,
                event.deadline_at,
                event.on_timeout,
                event.default_answer,
            )
        case ApprovalDecided(decision="approve", actor=actor, answer=answer):
            return replace(state, answers=(*state.answers, GivenAnswer(actor=actor, answer=answer)))
        case ApprovalDecided():
            return state
        case ApprovalApproved():
            return ApprovalState("approved")
        case ApprovalRejected():
            return ApprovalState("rejected")
        case ApprovalCancelled():
            return ApprovalState("cancelled")
        case ApprovalTimedOut():
            return ApprovalState("timed_out")
        case _:
            assert_never(event)


APPROVAL = Decider("approval", get_args(ApprovalCommand), UNKNOWN, decide, evolve)
