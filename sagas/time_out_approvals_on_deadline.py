"""Ends an approval that is still open at its deadline; the timer is set on request and never cancelled."""

from collections.abc import Sequence

from events.approval import ApprovalRequested
from events.envelope import Envelope
from infra.patterns.saga import Reaction, Saga, Schedule
from sagas.time_out_tasks_on_deadline import Nothing
from write_side.approval import TimeOutApproval


def react(envelope: Envelope[ApprovalRequested], state: Nothing) -> Sequence[Reaction]:
    match envelope.event:
        case ApprovalRequested(deadline_at=deadline_at) if deadline_at is not None:
            return [Schedule(deadline_at, TimeOutApproval(approval_id=envelope.entity_id))]
        case _:
            pass
    return []


TIME_OUT_APPROVALS_ON_DEADLINE = Saga(
    name="time_out_approvals_on_deadline",
    version=1,
    state=Nothing,
    handles=(ApprovalRequested,),
    react=react,
)
