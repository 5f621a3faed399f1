"""The approval board."""

import pytest

from events.approval import (
    ApprovalApproved,
    ApprovalCancelled,
    ApprovalDecided,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    GivenAnswer,
)
from projections.approval_board import APPROVAL_BOARD


def requested(**fields):
    return ApprovalRequested(**{"title": "Pay", "people": ("ada", "bob"), **fields})


def decided(actor, decision="approve", **fields):
    return ApprovalDecided(actor=actor, decision=decision, **fields)


@pytest.fixture
def board(read_model):
    return read_model(APPROVAL_BOARD)


class TestTheApprovalBoard:
    def test_keeps_tenants_and_approvals_apart(self, board):
        board.given("acme", "approval-p1", requested()).given("acme", "approval-p2", requested(title="Fly"))
        board.given("other", "approval-p1", requested(people=("eve",)))
        board.given("acme", "approval-p1", decided("ada"), ApprovalApproved(answers=(GivenAnswer(actor="ada"),)))
        board.then("acme", "p1", title="Pay", status="approved", people=("ada", "bob"), version=3, position=5)
        board.then("acme", "p2", title="Fly", status="requested", decisions=(), version=1, position=2)
        board.then("other", "p1", status="requested", people=("eve",), version=1, position=3)

    def test_shows_what_was_asked_for(self, board):
        form, context = {"type": "object", "default": None}, {"price": [12, None]}
        board.given(
            "acme",
            "approval-p1",
            requested(
                description="All of it.",
                groups=("desk",),
                approvals_needed=2,
                form=form,
                context=context,
                requested_by="carol",
                deadline_at=board.at(99),
                on_timeout="approve",
            ),
        )
        board.then("acme", "p1", description="All of it.", groups=("desk",), approvals_needed=2, form=form)
        board.then("acme", "p1", context=context, requested_by="carol", deadline_at=board.at(99), on_timeout="approve")
        board.then("acme", "p1", decision=None, answer=None, requested_at=board.at(1), ended_at=None)

    def test_shows_each_decision_and_the_last_answer(self, board):
        board.given("acme", "approval-p1", requested(approvals_needed=2), decided("ada", answer=1, comment="Well."))
        board.then("acme", "p1", status="requested", decision=None, answer=None)
        answers = (GivenAnswer(actor="ada", answer=1), GivenAnswer(actor="bob", answer={"a": None}))
        board.given("acme", "approval-p1", decided("bob", answer={"a": None}), ApprovalApproved(answers=answers))
        board.then("acme", "p1", status="approved", decision="approve", answer={"a": None}, ended_at=board.at(4))
        first, second = board.row("acme", "p1").decisions
        assert (first.actor, first.decision, first.answer, first.comment) == ("ada", "approve", 1, "Well.")
        assert (first.decided_at, second.decided_at) == (board.at(2), board.at(3))

    def test_shows_who_rejected(self, board):
        board.given("acme", "approval-p1", requested(), decided("ada", "reject", comment="No."))
        board.given("acme", "approval-p1", ApprovalRejected(actor="ada", answer=7, comment="No."))
        board.then("acme", "p1", status="rejected", decision="reject", answer=7, ended_at=board.at(3))
        assert [each.comment for each in board.row("acme", "p1").decisions] == ["No."]

    def test_shows_the_default_answer_of_a_deadline(self, board):
        end = ApprovalTimedOut(deadline_at=board.at(2), decision="approve", answer="all right")
        board.given("acme", "approval-p1", requested(), end)
        board.then("acme", "p1", status="timed_out", decision="approve", answer="all right", ended_at=board.at(2))

    def test_shows_that_it_was_cancelled(self, board):
        board.given("acme", "approval-p1", requested(), ApprovalCancelled(reason="off"))
        board.then("acme", "p1", status="cancelled", decision=None, ended_at=board.at(2))
