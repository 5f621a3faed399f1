"""The decider of approvals."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from events.approval import (
    APPROVALS_MAX,
    ApprovalApproved,
    ApprovalCancelled,
    ApprovalDecided,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    GivenAnswer,
)
from write_side.approval import (
    ANSWER_BYTES_MAX,
    APPROVAL,
    AnswerDoesNotFit,
    ApprovalAlreadyDecided,
    ApprovalAlreadyEnded,
    ApprovalAlreadyExists,
    ApprovalForNobody,
    ApprovalUnknown,
    CancelApproval,
    DecideApproval,
    InvalidForm,
    NotAskedToApprove,
    OwnApproval,
    RequestApproval,
    TimeOutApproval,
    TooFewToApprove,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FORM = {"type": "object", "required": ["budget"], "properties": {"budget": {"type": "integer", "maximum": 1_000}}}
TIME_OUT = TimeOutApproval(approval_id="p1")
CANCEL = CancelApproval(approval_id="p1", reason="off")
ENDS = [
    ApprovalApproved(answers=(GivenAnswer(actor="ada"),)),
    ApprovalRejected(actor="ada"),
    ApprovalCancelled(),
    ApprovalTimedOut(deadline_at=LATER, decision="reject"),
]


def request(**fields):
    return RequestApproval(**{"approval_id": "p1", "title": "Pay", "people": ("ada", "bob"), "at": NOW, **fields})


def requested(**fields):
    return ApprovalRequested(**{"title": "Pay", "people": ("ada", "bob"), **fields})


def decide(actor, decision="approve", groups=(), **fields):
    command = DecideApproval(approval_id="p1", decision=decision, **fields)
    return command.sent_by(actor, groups)


def approve(actor, answer=None, **fields):
    return decide(actor, answer=answer, **fields)


def approved(actor, answer=None, comment=None):
    return ApprovalDecided(actor=actor, decision="approve", answer=answer, comment=comment)


class TestAnUnknownApproval:
    def test_can_be_asked_of_people(self, given):
        given(APPROVAL).when(request()).then(requested())

    def test_can_be_asked_of_groups_with_all_that_they_need(self, given):
        fields = {
            "description": "All of it.",
            "people": (),
            "groups": ("travel desk",),
            "approvals_needed": 2,
            "form": FORM,
            "context": {"price": 1_200},
            "requested_by": "carol",
            "on_timeout": "approve",
            "default_answer": {"budget": 1_000},
        }
        given(APPROVAL).when(request(timeout_s=3_600, **fields)).then(requested(deadline_at=LATER, **fields))

    def test_names_everybody_once(self, given):
        fields = {"people": ("ada", "bob", "ada"), "groups": ("desk", "desk")}
        given(APPROVAL).when(request(**fields)).then(requested(groups=("desk",)))

    def test_is_requested_by_its_sender(self, given):
        given(APPROVAL).when(request().sent_by("carol", ())).then(requested(requested_by="carol"))

    def test_knows_who_sent_it_for_another(self, given):
        command = request(requested_by="carol").sent_by("dan", ())
        given(APPROVAL).when(command).then(requested(requested_by="carol", sent_by="dan"))

    def test_has_to_be_asked_of_somebody(self, given):
        given(APPROVAL).when(request(people=())).then_refused(ApprovalForNobody, 422)

    @pytest.mark.parametrize(
        "fields",
        [{"approvals_needed": 3}, {"people": ("ada", "ada"), "approvals_needed": 2}, {"requested_by": "ada"}],
        ids=str,
    )
    def test_has_to_be_asked_of_enough_who_may_approve(self, given, fields):
        fields = {"approvals_needed": 2, **fields}
        given(APPROVAL).when(request(**fields)).then_refused(TooFewToApprove, 422)
        assert given(APPROVAL).when(request(**fields, groups=("desk",))).events

    @pytest.mark.parametrize(
        "form",
        [
            {"type": "objekt"},
            {"properties": 1},
            pytest.param({"$ref": "https://a.example/schema"}, marks=pytest.mark.outside),
        ],
        ids=str,
    )
    def test_is_refused_with_a_form_that_is_no_schema(self, given, form):
        scenario = given(APPROVAL).when(request(form=form)).then_refused(InvalidForm, 422)
        assert scenario.rejection.details["errors"][0]["pointer"] == "/form"

    def test_is_refused_with_a_default_answer_that_does_not_fit(self, given):
        for fields in ({"default_answer": {"budget": "much"}}, {"timeout_s": 1, "on_timeout": "approve"}):
            scenario = given(APPROVAL).when(request(form=FORM, **fields)).then_refused(AnswerDoesNotFit, 422)
            assert scenario.rejection.details["errors"][0]["pointer"] == "/default_answer"

    def test_needs_no_default_answer_to_be_rejected_at_its_deadline(self, given):
        given(APPROVAL).when(request(form=FORM, timeout_s=3_600)).then(requested(form=FORM, deadline_at=LATER))

    @pytest.mark.parametrize("command", [approve("ada"), CANCEL, TIME_OUT], ids=lambda each: type(each).__name__)
    def test_is_not_found(self, given, command):
        given(APPROVAL).when(command).then_refused(ApprovalUnknown, 404)

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": " "},
            {"people": ("a b",)},
            {"people": ("",)},
            {"people": tuple(f"p{n}" for n in range(101))},
            {"groups": ("-x",)},
            {"approvals_needed": 0},
            {"approvals_needed": APPROVALS_MAX + 1},
            {"timeout_s": 0},
            {"on_timeout": "wait"},
        ],
        ids=str,
    )
    def test_is_refused_for_a_field_that_is_not_as_it_should_be(self, fields):
        with pytest.raises(ValidationError):
            request(**fields)


class TestARequestedApproval:
    def test_cannot_be_requested_again(self, given):
        given(APPROVAL, requested()).when(request()).then_refused(ApprovalAlreadyExists)

    def test_is_approved_by_one_of_the_people(self, given):
        scenario = given(APPROVAL, requested()).when(approve("ada", {"a": 1}, comment="Well."))
        scenario.then(
            approved("ada", {"a": 1}, "Well."),
            ApprovalApproved(answers=(GivenAnswer(actor="ada", answer={"a": 1}),)),
        )

    def test_is_approved_by_a_member_of_a_group(self, given):
        scenario = given(APPROVAL, requested(people=(), groups=("desk",)))
        scenario.when(approve("eve", groups=("desk", "other")))
        scenario.then(approved("eve"), ApprovalApproved(answers=(GivenAnswer(actor="eve"),)))

    def test_is_approved_once_enough_have(self, given):
        scenario = given(APPROVAL, requested(approvals_needed=2))
        scenario.when(approve("ada", 1)).then(approved("ada", 1))
        answers = (GivenAnswer(actor="ada", answer=1), GivenAnswer(actor="bob", answer=2))
        scenario.when(approve("bob", 2)).then(approved("bob", 2), ApprovalApproved(answers=answers))

    def test_is_decided_by_each_once(self, given):
        scenario = given(APPROVAL, requested(approvals_needed=2), approved("ada"))
        scenario.when(approve("ada")).then_refused(ApprovalAlreadyDecided)
        scenario.when(decide("ada", "reject")).then_refused(ApprovalAlreadyDecided)

    def test_is_rejected_by_one(self, given):
        scenario = given(APPROVAL, requested(approvals_needed=2), approved("ada"))
        scenario.when(decide("bob", "reject", comment="No."))
        scenario.then(
            ApprovalDecided(actor="bob", decision="reject", comment="No."), ApprovalRejected(actor="bob", comment="No.")
        )
        scenario.when(approve("ada")).then_refused(ApprovalAlreadyEnded)

    @pytest.mark.parametrize(("actor", "groups"), [("eve", ()), ("eve", ("other",)), ("Ada", ()), ("desk", ())])
    def test_is_not_decided_by_others(self, given, actor, groups):
        scenario = given(APPROVAL, requested(groups=("desk",)))
        scenario.when(approve(actor, groups=groups)).then_refused(NotAskedToApprove)

    def test_is_not_decided_by_nobody(self, given):
        command = DecideApproval(approval_id="p1", decision="approve")
        given(APPROVAL, requested(groups=("desk",))).when(command).then_refused(NotAskedToApprove)

    @pytest.mark.parametrize(
        ("fields", "actor", "told"),
        [
            ({"people": ("mia",), "groups": ("finance",)}, None, "anonymous may not decide: mia and members of finance may."),
            ({"people": ("mia",)}, "eve", "eve may not decide: mia may."),
            ({"requested_by": "ada", "sent_by": "dan"}, "eve", "eve may not decide: bob may."),
            (
                {"people": tuple(f"p{number:02}" for number in range(12))},
                "eve",
                f"eve may not decide: {', '.join(f'p{number:02}' for number in range(10))} and 2 more may.",
            ),
        ],
        ids=str,
    )  # fmt: skip
    def test_says_who_asked_and_who_may_decide(self, given, fields, actor, told):
        command = DecideApproval(approval_id="p1", decision="approve", actor=actor)
        scenario = given(APPROVAL, requested(**fields)).when(command)
        scenario.then_refused(NotAskedToApprove)
        assert str(scenario.rejection) == told

    @pytest.mark.parametrize("fields", [{"requested_by": "ada"}, {"requested_by": "carol", "sent_by": "ada"}], ids=str)
    @pytest.mark.parametrize("decision", ["approve", "reject"])
    def test_is_not_decided_by_those_whose_request_it_is(self, given, fields, decision):
        past = requested(groups=("desk",), **fields)
        given(APPROVAL, past).when(decide("ada", decision)).then_refused(OwnApproval)
        given(APPROVAL, past).when(decide("ada", decision, ("desk",))).then_refused(OwnApproval)

    def test_can_be_cancelled(self, given):
        given(APPROVAL, requested()).when(CANCEL).then(ApprovalCancelled(reason="off"))

    def test_times_out_with_its_default(self, given):
        past = requested(deadline_at=LATER, on_timeout="approve", default_answer={"budget": 1})
        end = ApprovalTimedOut(deadline_at=LATER, decision="approve", answer={"budget": 1})
        given(APPROVAL, past).when(TIME_OUT).then(end)
        given(APPROVAL, requested()).when(TIME_OUT).then_nothing()


class TestAnApprovalWithAForm:
    def test_takes_an_answer_that_fits(self, given):
        scenario = given(APPROVAL, requested(form=FORM)).when(approve("ada", {"budget": 1_000}))
        scenario.then(
            approved("ada", {"budget": 1_000}),
            ApprovalApproved(answers=(GivenAnswer(actor="ada", answer={"budget": 1_000}),)),
        )

    def test_does_not_go_without_an_answer(self, given):
        given(APPROVAL, requested(form=FORM)).when(approve("ada")).then_refused(AnswerDoesNotFit, 422)

    @pytest.mark.parametrize("answer", [{}, {"budget": "much"}, {"budget": 1_001}, [1]], ids=str)
    @pytest.mark.parametrize("decision", ["approve", "reject"])
    def test_refuses_any_other(self, given, answer, decision):
        scenario = given(APPROVAL, requested(form=FORM)).when(decide("ada", decision, answer=answer))
        scenario.then_refused(AnswerDoesNotFit, 422)
        assert scenario.rejection.details["errors"][0]["pointer"] == "/answer"

    def test_says_where_an_answer_is_wrong(self, given):
        scenario = given(APPROVAL, requested(form=FORM)).when(approve("ada", {"budget": "much"}))
        assert "/budget" in scenario.rejection.details["errors"][0]["detail"]

    def test_can_be_rejected_without_it(self, given):
        scenario = given(APPROVAL, requested(form=FORM)).when(decide("ada", "reject"))
        scenario.then(ApprovalDecided(actor="ada", decision="reject"), ApprovalRejected(actor="ada"))


class TestAnAnswer:
    def test_may_be_anything_where_there_is_no_form(self, given):
        assert given(APPROVAL, requested()).when(approve("ada", [1, None, "x"])).events

    def test_is_bounded_so_that_all_of_them_go_into_one_event(self, given):
        text = "x" * (ANSWER_BYTES_MAX - 2)
        assert given(APPROVAL, requested()).when(approve("ada", text)).events
        given(APPROVAL, requested()).when(approve("ada", text + "x")).then_refused(AnswerDoesNotFit, 422)


class TestAnEndedApproval:
    @pytest.mark.parametrize("end", ENDS, ids=lambda end: end.type)
    def test_stays_as_it_ended(self, given, end):
        for command in (approve("ada"), CANCEL):
            given(APPROVAL, requested(deadline_at=LATER), end).when(command).then_refused(ApprovalAlreadyEnded)
        given(APPROVAL, requested(deadline_at=LATER), end).when(TIME_OUT).then_nothing()
        given(APPROVAL, requested(deadline_at=LATER), end).when(request()).then_refused(ApprovalAlreadyExists)
