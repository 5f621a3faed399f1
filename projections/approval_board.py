"""The approval board: every approval with who is asked, what they see and fill in, who has decided, and the outcome."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, JsonValue

from events.approval import (
    ApprovalApproved,
    ApprovalCancelled,
    ApprovalDecided,
    ApprovalEvent,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    Decision,
)
from events.envelope import Envelope
from infra.patterns.projection import Key, Projection, Row

ApprovalStatus = Literal["requested", "approved", "rejected", "cancelled", "timed_out"]


class DecisionOfActor(BaseModel):
    """What one of those who were asked has decided."""

    model_config = ConfigDict(frozen=True)

    actor: str
    decision: Decision
    answer: JsonValue = None
    comment: str | None = None
    decided_at: datetime


class ApprovalRow(Row):
    """An approval as it is now.

    `decision` is the outcome, once there is one: also that of the deadline. `answer` is what came with it: of the last who approved, of
    who rejected, or the default answer.
    """

    tenant_id: str
    approval_id: str
    title: str
    description: str | None = None
    status: ApprovalStatus
    people: tuple[str, ...]
    groups: tuple[str, ...]
    approvals_needed: int
    form: dict[str, JsonValue] | None = None
    context: JsonValue = None
    requested_by: str | None = None
    deadline_at: datetime | None = None
    on_timeout: Decision
    decisions: tuple[DecisionOfActor, ...] = ()
    decision: Decision | None = None
    answer: JsonValue = None
    requested_at: datetime
    ended_at: datetime | None = None
    version: int
    position: int


def locate(envelope: Envelope[ApprovalEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[ApprovalEvent], row: ApprovalRow | None) -> ApprovalRow | None:
    event = envelope.event
    if isinstance(event, ApprovalRequested):
        return _requested(envelope, event)
    if row is None:
        return row
    changes = _changes(event, row, envelope.occurred_at)
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _requested(envelope: Envelope[ApprovalEvent], event: ApprovalRequested) -> ApprovalRow:
    return ApprovalRow(
        tenant_id=envelope.tenant_id,
        approval_id=envelope.entity_id,
        title=event.title,
        description=event.description,
        status="requested",
        people=event.people,
        groups=event.groups,
        approvals_needed=event.approvals_needed,
        form=event.form,
        context=event.context,
        requested_by=event.requested_by,
        deadline_at=event.deadline_at,
        on_timeout=event.on_timeout,
        requested_at=envelope.occurred_at,
        version=envelope.stream_version,
        position=envelope.position,
    )


def _changes(event: ApprovalEvent, row: ApprovalRow, at: datetime) -> dict[str, object]:
    match event:
        case ApprovalDecided():
            decided = DecisionOfActor(
                actor=event.actor, decision=event.decision, answer=event.answer, comment=event.comment, decided_at=at
            )
            return {"decisions": (*row.decisions, decided)}
        case ApprovalApproved(answers=answers):
            return {"status": "approved", "decision": "approve", "answer": answers[-1].answer, "ended_at": at}
        case ApprovalRejected(answer=answer):
            return {"status": "rejected", "decision": "reject", "answer": answer, "ended_at": at}
        case ApprovalTimedOut(decision=decision, answer=answer):
            return {"status": "timed_out", "decision": decision, "answer": answer, "ended_at": at}
        case ApprovalCancelled():
            return {"status": "cancelled", "ended_at": at}
        case _:
            pass
    return {}


APPROVAL_BOARD = Projection(
    name="approval_board",
    version=1,
    row=ApprovalRow,
    key=("tenant_id", "approval_id"),
    handles=get_args(ApprovalEvent),
    locate=locate,
    project=project,
    indexes=(("tenant_id", "status", "approval_id"),),
)
