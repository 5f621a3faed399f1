"""Which appends go together, and who survives when the log refuses some of them."""

from datetime import UTC, datetime

import pytest

from infra.adapters.append_parameters import append_parameters
from infra.adapters.append_plan import Plan, survivors, with_each_stream_once
from infra.adapters.event_store import Append, BasisLost, NewEvent, StreamMoved, Write

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write(stream_id: str, expected: int, count: int = 1) -> Write:
    return Write(stream_id, expected, [NewEvent("thing.happened", 1, b"{}", bytes(16))] * count)


def append(*writes: Write, command_id: str | None = None, tenant_id: str = "acme") -> Append:
    return Append(tenant_id, writes, NOW, command_id=command_id)


def plan_of(*appends: Append) -> Plan:
    plan = Plan()
    assert all(plan.admit(each) for each in appends)
    return plan


class TestAPlan:
    def test_takes_appends_to_different_streams(self) -> None:
        plan = plan_of(append(write("a", 0, 2)), append(write("b", 5)))
        assert (plan.before, plan.after) == (
            {("acme", "a"): 0, ("acme", "b"): 5},
            {("acme", "a"): 2, ("acme", "b"): 6},
        )
        assert plan.events == 3

    def test_takes_appends_that_follow_on_from_one_another(self) -> None:
        plan = plan_of(append(write("a", 3, 2)), append(write("a", 5)), append(write("a", 6, 0)))
        assert (plan.before, plan.after) == ({("acme", "a"): 3}, {("acme", "a"): 6})

    @pytest.mark.parametrize("expected", [3, 4, 6])
    def test_leaves_out_what_does_not_follow_on(self, expected: int) -> None:
        plan = plan_of(append(write("a", 3, 2)))
        assert not plan.admit(append(write("b", 0), write("a", expected)))
        assert plan.after == {("acme", "a"): 5}
        assert len(plan.appends) == 1

    def test_leaves_out_a_command_id_that_it_has(self) -> None:
        plan = plan_of(append(write("a", 0), command_id="c1"))
        assert not plan.admit(append(write("b", 0), command_id="c1"))
        assert plan.admit(append(write("b", 0), command_id="c1", tenant_id="other"))

    def test_keeps_tenants_apart(self) -> None:
        plan_of(append(write("a", 0)), append(write("a", 0), tenant_id="other"))


class TestTheSurvivorsOfARefusedPlan:
    def test_are_those_whose_streams_have_not_moved(self) -> None:
        first, second, third = append(write("a", 0)), append(write("b", 0)), append(write("c", 4))
        going, conflicts, answered = survivors(plan_of(first, second, third), {("acme", "b"): 7}, [])
        assert going == [first, third]
        assert [(loser, str(reason)) for loser, reason in conflicts] == [(second, "Stream b is at version 7, not 0.")]
        assert answered == []

    def test_are_not_those_that_were_built_on_a_loser(self) -> None:
        loser, built_on_it = append(write("a", 0), write("b", 0)), append(write("a", 1))
        going, conflicts, _ = survivors(plan_of(loser, built_on_it), {("acme", "b"): 1}, [])
        assert going == []
        assert [reason.details for _, reason in conflicts] == [
            {"stream_id": "b", "expected": 0, "actual": 1},
            {"stream_id": "a", "expected": 1, "actual": 0},
        ]

    def test_are_not_those_that_a_loser_was_the_basis_of_though_their_version_is_right(self) -> None:
        loser, built_on_it, beside = append(write("a", 0, 2)), append(write("a", 2)), append(write("b", 0))
        last = append(write("a", 3))
        bases = {id(built_on_it): [id(loser)], id(last): [id(built_on_it)], id(beside): []}
        plan = plan_of(loser, built_on_it, beside, last)
        going, conflicts, _ = survivors(plan, {("acme", "a"): 2}, [], bases)
        assert going == [beside]
        assert [(each, type(reason)) for each, reason in conflicts] == [
            (loser, StreamMoved),
            (built_on_it, BasisLost),
            (last, BasisLost),
        ]

    def test_are_those_that_follow_on_from_what_a_known_command_wrote_before(self) -> None:
        known, following = append(write("a", 0, 2), command_id="c1"), append(write("a", 2))
        going, conflicts, answered = survivors(plan_of(known, following), {("acme", "a"): 2}, [("acme", "c1")])
        assert (going, conflicts, answered) == ([following], [], [known])


class TestAnAppendThatNamesAStreamTwice:
    def test_loses_a_check_that_says_the_same_again(self) -> None:
        own, check = write("a", 3), write("a", 3, 0)
        assert list(with_each_stream_once(append(own, write("b", 0), check)).writes) == [own, write("b", 0)]
        assert list(with_each_stream_once(append(check, write("b", 0), own)).writes) == [own, write("b", 0)]
        assert list(with_each_stream_once(append(check, check)).writes) == [check]

    @pytest.mark.parametrize("other", [write("a", 3), write("a", 4), write("a", 4, 0)])
    def test_is_refused_if_it_would_give_versions_twice(self, other: Write) -> None:
        with pytest.raises(ValueError, match="stands twice"):
            with_each_stream_once(append(write("a", 3), other))

    def test_is_left_as_it_is_if_it_does_not(self) -> None:
        plain = append(write("a", 0), write("b", 0))
        assert with_each_stream_once(plain) is plain

    def test_must_name_one_at_least(self) -> None:
        with pytest.raises(ValueError, match="needs a stream"):
            with_each_stream_once(append())


class TestTheParametersOfAPlan:
    def test_have_as_many_arrays_as_the_function_takes(self) -> None:
        assert len(append_parameters(plan_of(append(write("a", 0), command_id="c1")))) == 26

    def test_cannot_be_made_of_what_cannot_be_sent(self) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            append_parameters(plan_of(append(write("\ud800", 0))))
        with pytest.raises(ValueError, match="64 bits"):
            append_parameters(plan_of(append(write("a", 1 << 63, 0))))
        with pytest.raises(TypeError):
            append_parameters(plan_of(append(write("a", 0))._replace(occurred_at=datetime(2026, 1, 1))))

    def test_tell_what_a_conflict_is_about(self) -> None:
        assert StreamMoved("a", 1, 2).details == {"stream_id": "a", "expected": 1, "actual": 2}
