"""Approvals that runs wait for, told as stories."""

import pytest

from events.approval import (
    ApprovalApproved,
    ApprovalCancelled,
    ApprovalDecided,
    ApprovalRejected,
    ApprovalTimedOut,
    GivenAnswer,
)
from events.event import JSON_DEPTH_MAX
from events.run import RunCancelled, RunCompleted, RunFaulted, RunRetried
from events.run_compensation import RunCompensated
from events.run_parts import ApprovalAwaited, RunAwaited
from infra.patterns.saga import Ask
from sagas import ask_people_on_run_task
from sagas.ask_people_on_run_task import ASK_PEOPLE_ON_RUN_TASK, NO_LONGER_WANTED, AskedPeople
from sagas.run_waits import Refused
from tests.sagas.run_stories import (
    NOON,
    STANDARD,
    answer,
    cancelled,
    error,
    fail,
    forked,
    nested,
    node,
    started,
    task,
)
from write_side.approval import CancelApproval, RequestApproval

WANTED = ApprovalAwaited(approval_id="r1.3", request={"title": "Pay?", "people": ["user:bob", "user:eve"]})
YES = ApprovalDecided(actor="user:bob", decision="approve", answer={"limit": 5}, comment="fine")
NO = ApprovalDecided(actor="user:eve", decision="reject")
YES_AS_TOLD = {"actor": "user:bob", "decision": "approve", "answer": {"limit": 5}, "comment": "fine"}
NO_AS_TOLD = {"actor": "user:eve", "decision": "reject", "answer": None, "comment": None}


def request(requested_by="user:alice", **more):
    fields = {"people": ("user:bob", "user:eve"), **more}
    return Ask(RequestApproval(approval_id="r1.3", title="Pay?", requested_by=requested_by, **fields), Refused("r1", 3))


@pytest.fixture
def people(story):
    return story(ASK_PEOPLE_ON_RUN_TASK)


@pytest.fixture
def asked(people):
    return people.given("run-r1", started()).given("run-r1", task(3, WANTED))


class TestAnAnswerThatIsNestedDeeperThanARunCanTake:
    """As answers could be once."""

    @pytest.mark.parametrize(
        "end",
        [
            ApprovalApproved(answers=()),
            ApprovalRejected(actor="user:eve"),
            ApprovalTimedOut(deadline_at=NOON, decision="approve", answer=nested(JSON_DEPTH_MAX)),
        ],
    )
    def test_fails_the_task(self, asked, end):
        decided = YES.model_copy(update={"answer": nested(JSON_DEPTH_MAX)})
        asked.given("approval-r1.3", decided, end)
        (failed,) = asked.asked
        assert (failed.run_id, failed.task) == ("r1", 3)
        assert "must not be nested deeper" in failed.error.detail


class TestATaskForAnApproval:
    def test_asks_people_for_whoever_started_the_run(self, asked):
        asked.then(request())

    def test_asks_for_whoever_started_the_run_around_it(self, people):
        people.given("run-p", started(), actor="user:zoe").given("run-r1", started(parent=("p", 1)), actor="saga:x")
        people.given("run-r1", task(3, WANTED)).then(request("user:zoe"))

    def test_asks_for_whoever_started_a_run_that_does_not_wait_for_it(self, people):
        beside = RunAwaited(run_id="r1", workflow_id="w", awaited=False)
        people.given("run-p", started(), actor="user:zoe").given("run-p", task(1, beside), RunCompleted())
        people.given("run-r1", started(), actor="saga:x")
        people.given("run-r1", task(3, WANTED)).then(request("user:zoe"))
        people.given("approval-r1.3", ApprovalCancelled()).given("run-r1", RunCompleted())
        assert people.state == AskedPeople()

    def test_remembers_a_bounded_number_of_runs_that_never_begin(self, people, monkeypatch):
        monkeypatch.setattr(ask_people_on_run_task, "BESIDE_MAX", 4)
        people.given("run-p", started())
        for number in range(1, 6):
            people.given("run-p", task(number, RunAwaited(run_id=f"p.{number}", workflow_id="w", awaited=False)))
        assert [*people.state.beside] == ["p.3", "p.4", "p.5"]

    def test_asks_for_whoever_had_a_failed_run_go_on(self, asked):
        asked.given("run-r1", RunFaulted(error=error("runtime", 500)))
        asked.given("run-r1", RunRetried(), actor="user:zoe").given("run-r1", task(3, WANTED)).then(request("user:zoe"))

    def test_asks_for_whoever_forked_the_run(self, people):
        people.given("run-r1", forked(node(3, WANTED)), actor="user:zoe").then(request("user:zoe"))

    def test_asks_for_whom_the_workflow_names(self, people):
        wanted = ApprovalAwaited(approval_id="r1.3", request={**WANTED.request, "requested_by": "user:max"})
        people.given("run-r1", started()).given("run-r1", task(3, wanted)).then(request("user:max"))

    def test_fails_if_it_is_not_as_it_has_to_be(self, people):
        wanted = ApprovalAwaited(approval_id="r1.3", request={**WANTED.request, "approvals_needed": 0})
        people.given("run-r1", task(3, wanted))
        (failed,) = people.asked
        assert (failed.error.type, failed.error.status) == (STANDARD + "validation", 400)
        assert people.state == AskedPeople()

    @pytest.mark.parametrize("field", ["at", "actor", "groups_of_actor"])
    def test_fails_if_it_says_what_only_the_server_may(self, people, field):
        wanted = ApprovalAwaited(approval_id="r1.3", request={**WANTED.request, field: "user:bob"})
        people.given("run-r1", task(3, wanted))
        (failed,) = people.asked
        assert failed.error.detail == f"with/{field}: is not for a workflow to say"


class TestWhatPeopleDecide:
    def test_is_the_answer_when_they_approve(self, asked):
        asked.given("approval-r1.3", YES).then_nothing()
        approved = ApprovalApproved(answers=(GivenAnswer(actor="user:bob", answer={"limit": 5}),))
        asked.given("approval-r1.3", approved)
        asked.then(answer("r1", 3, {"approved": True, "decisions": [YES_AS_TOLD]}))

    def test_is_an_answer_too_when_they_reject(self, asked):
        asked.given("approval-r1.3", YES, NO, ApprovalRejected(actor="user:eve"))
        asked.then(answer("r1", 3, {"approved": False, "decisions": [YES_AS_TOLD, NO_AS_TOLD]}))

    @pytest.mark.parametrize(("decision", "approved"), [("approve", True), ("reject", False)])
    def test_is_what_was_agreed_for_the_deadline_when_that_has_come(self, asked, decision, approved):
        asked.given("approval-r1.3", YES, ApprovalTimedOut(deadline_at=NOON, decision=decision, answer=7))
        by_deadline = {"actor": None, "decision": decision, "answer": 7, "comment": None}
        told = {"approved": approved, "timed_out": True, "decisions": [YES_AS_TOLD, by_deadline]}
        asked.then(answer("r1", 3, told))

    def test_is_an_error_when_nobody_wants_to_know_any_more(self, asked):
        asked.given("approval-r1.3", YES, ApprovalCancelled(reason="why"))
        asked.then(fail("r1", 3, error("runtime", 500, "The approval was cancelled", "why")))

    def test_is_nothing_to_runs_that_did_not_ask(self, asked):
        asked.given("approval-x", YES, ApprovalApproved(answers=())).then_nothing()

    @pytest.mark.parametrize(
        "end",
        [
            ApprovalApproved(answers=()),
            ApprovalRejected(actor="user:eve"),
            ApprovalTimedOut(deadline_at=NOON, decision="reject"),
            ApprovalCancelled(),
        ],
    )
    def test_is_forgotten_with_its_run(self, asked, end):
        asked.given("approval-r1.3", YES, end).given("run-r1", RunCompleted())
        assert asked.state == AskedPeople()


class TestATaskThatWaitsNoMore:
    @pytest.mark.parametrize("end", [RunCancelled(), RunCompensated()])
    def test_has_its_approval_cancelled(self, asked, end):
        asked.given("approval-r1.3", YES).given("run-r1", cancelled(3))
        asked.then(CancelApproval(approval_id="r1.3", reason=NO_LONGER_WANTED))
        asked.given("run-r1", end).given("approval-r1.3", ApprovalCancelled()).then_nothing()
        assert asked.state == AskedPeople()
