"""Deadlines of approvals, told as stories."""

from datetime import UTC, datetime

import pytest

from events.approval import ApprovalRequested
from infra.patterns.saga import Schedule
from sagas.time_out_approvals_on_deadline import TIME_OUT_APPROVALS_ON_DEADLINE
from write_side.approval import TimeOutApproval

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def approvals(story):
    return story(TIME_OUT_APPROVALS_ON_DEADLINE)


class TestARequestedApproval:
    def test_is_ended_at_its_deadline(self, approvals):
        approvals.given("approval-p1", ApprovalRequested(title="t", people=("ada",), deadline_at=NOON))
        approvals.then(Schedule(NOON, TimeOutApproval(approval_id="p1")))

    def test_without_a_deadline_may_take_for_ever(self, approvals):
        approvals.given("approval-p1", ApprovalRequested(title="t", people=("ada",))).then_nothing()
