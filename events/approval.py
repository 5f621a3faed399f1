"""What happens to an approval: people are asked whether something may be done."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from events.event import Event, JsonAny, JsonObject, Label, Name, Reason, Text

APPROVALS_MAX = 20

Decision = Literal["approve", "reject"]

ApprovalsNeeded = Annotated[int, Field(ge=1, le=APPROVALS_MAX)]
"""How many have to approve, up to APPROVALS_MAX."""


class GivenAnswer(BaseModel):
    """Who approved, and what they filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: Name
    answer: JsonAny = None


class ApprovalRequested(Event):
    """When people, or members of groups, were asked.

    `form` is the JSON Schema of their answers and `context` what they should see. Neither `requested_by` nor `sent_by`, who sent the
    request for them, may decide. At `deadline_at` the answer is `on_timeout`, with `default_answer`.
    """

    type = "approval.requested"

    title: Name
    description: Text | None = None
    people: tuple[Name, ...] = ()
    groups: tuple[Label, ...] = ()
    approvals_needed: ApprovalsNeeded = 1
    form: JsonObject | None = None
    context: JsonAny = None
    requested_by: Name | None = None
    sent_by: Name | None = None
    deadline_at: AwareDatetime | None = None
    on_timeout: Decision = "reject"
    default_answer: JsonAny = None


class ApprovalDecided(Event):
    """When one of those who were asked approved or rejected."""

    type = "approval.decided"

    actor: Name
    decision: Decision
    answer: JsonAny = None
    comment: Reason | None = None


class ApprovalApproved(Event):
    """When as many had approved as were needed."""

    type = "approval.approved"

    answers: tuple[GivenAnswer, ...]


class ApprovalRejected(Event):
    """When one of them had rejected."""

    type = "approval.rejected"

    actor: Name
    answer: JsonAny = None
    comment: Reason | None = None


class ApprovalCancelled(Event):
    """When whoever wanted the approval no longer does."""

    type = "approval.cancelled"

    reason: Reason | None = None


class ApprovalTimedOut(Event):
    """When it was still open at its deadline, with the answer that stands for all."""

    type = "approval.timed_out"

    deadline_at: AwareDatetime
    decision: Decision
    answer: JsonAny = None


ApprovalEvent = (
    ApprovalRequested | ApprovalDecided | ApprovalApproved | ApprovalRejected | ApprovalCancelled | ApprovalTimedOut
)
