"""What a run may write: an event of bounded size, an append of bounded size, data that can be stored."""

from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from events.run import RunAdvanced
from infra.settings import Settings
from tests.write_side.driven import Driven
from tests.write_side.running import Running, run, workflow
from write_side.interpreter import steps
from write_side.interpreter.bounds import APPEND_BYTES_MAX, CALLS_DEEP_MAX, EVENT_BYTES_MAX, size

DOUBLE = {"set": {"a": "${ .a }", "b": "${ .a }"}}
TEXT = {"a": "x" * 600_000}
CALL = {"call": "http", "with": {"method": "get", "endpoint": "https://tests"}}
TOO_MUCH: dict[str, list[Any]] = {
    "data that doubles": [{"a": DOUBLE}],
    "two values in one event": [{"a": {"set": "${ . }", "export": {"as": "${ . }"}}}],
    "what a task is given and what it calls with": [{"a": {**CALL, "with": {**CALL["with"], "body": "${ . }"}}}],
    "what branches come to": [{"a": {"fork": {"branches": [{"b": {"set": "${ . }"}}, {"c": {"set": "${ . }"}}]}}}],
    "an event that is emitted": [{"a": {"emit": {"event": {"with": {"type": "t", "data": ["${ .a }", "${ .a }"]}}}}}],
    "an input that is formed": [{"a": {"set": {"b": 1}, "input": {"from": {"a": "${ . }", "b": "${ . }"}}}}],
}
NOT_STORABLE: dict[str, list[Any]] = {
    "the NUL character": [{"a": {"set": {"a": '${ "\\u0000" }'}}}],
    "the NUL character in an input": [{"a": {"set": {"a": 1}, "input": {"from": '"\\u0000"'}}}],
    "nesting without end": [{"a": {"set": {"a": "${ reduce range(40) as $n (1; [.]) }"}}}],
    "nesting round by round": [
        {"a": {"set": {"a": "${ .a }"}, "then": "b"}},
        {"b": {"set": {"a": "${ [.] }"}, "then": "a"}},
    ],
    "nesting of what is given to a call": [
        {"a": {**CALL, "with": {**CALL["with"], "body": {"b": ["${ reduce range(29) as $n (1; [.]) }"]}}}}
    ],
}


def without_pauses(run: Driven) -> list[Any]:
    return [event for event in run.events if not isinstance(event, RunAdvanced)]


class TestAnEvent:
    @pytest.mark.parametrize("do", TOO_MUCH.values(), ids=TOO_MUCH)
    def test_that_would_be_too_large_is_the_fault_of_its_task(self, do: list[Any]) -> None:
        ended = run(do, TEXT)
        assert ended.status == "faulted"
        assert (ended.error["status"], ended.error["instance"]) == (500, "/do/0/a")
        assert "too large" in ended.error["detail"]
        assert all(size(event) <= EVENT_BYTES_MAX for event in ended.events)

    @pytest.mark.parametrize("do", NOT_STORABLE.values(), ids=NOT_STORABLE)
    def test_that_could_not_be_stored_is_the_fault_of_its_task(self, do: list[Any]) -> None:
        ended = run(do, {"a": 1})
        assert ended.status == "faulted"
        assert "cannot be stored" in ended.error["detail"]

    def test_is_never_too_large_for_the_log(self) -> None:
        with pytest.raises(ValidationError):
            Settings(event_bytes_max=EVENT_BYTES_MAX)

    def test_that_would_be_too_large_can_be_caught(self) -> None:
        ended = run([{"a": {"try": [{"b": DOUBLE}], "catch": {"do": [{"c": {"set": {"ok": True}}}]}}}], TEXT)
        assert (ended.status, ended.output) == ("completed", {"ok": True})

    @pytest.mark.parametrize("do", TOO_MUCH.values(), ids=TOO_MUCH)
    def test_is_the_same_fault_after_a_cut(self, do: list[Any]) -> None:
        whole = Driven(workflow(do)).start(TEXT).rest()
        for length in range(1, min(len(whole.events), 6)):
            assert without_pauses(whole.cut(length).rest()) == without_pauses(whole)


class TestAnAnswer:
    def test_that_is_too_large_fails_the_task(self) -> None:
        ended = run([{"a": CALL}], answer=lambda _, __: "x" * EVENT_BYTES_MAX)
        assert ended.status == "faulted"
        assert "too large" in ended.error["detail"]


class TestAnAppend:
    def test_is_bounded_in_bytes_and_the_run_goes_on_with_the_next(self) -> None:
        going = Running(workflow([{f"t{place}": {"set": "${ . }"}} for place in range(40)]))
        going.start(TEXT)
        assert going.status == "completed"
        pauses = [place for place, event in enumerate(going.events) if isinstance(event, RunAdvanced)]
        appends = [going.events[one:other] for one, other in pairwise([0, *pauses])]
        assert len(appends) > 5
        assert all(sum(map(size, each)) <= APPEND_BYTES_MAX + EVENT_BYTES_MAX for each in appends)

    def test_ends_after_a_stretch_of_costly_expressions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(steps, "EXPRESSIONS_S_MAX", 0.01)
        slow = {"set": {"a": "${ [range(9000)] | map(. * 2) | length }"}}
        ended = run([{f"t{place}": slow} for place in range(20)])
        assert ended.status == "completed"
        assert any(isinstance(event, RunAdvanced) for event in ended.events)


class TestFunctions:
    def test_that_call_each_other_without_end_fail(self) -> None:
        ended = run([{"a": {"call": "f"}}], use={"functions": {"f": {"call": "f"}}})
        assert ended.status == "faulted"
        assert f"more than {CALLS_DEEP_MAX} deep" in ended.error["detail"]

    def test_fail_in_the_same_way_after_a_cut(self) -> None:
        whole = Driven(workflow([{"a": {"call": "f"}}], use={"functions": {"f": {"call": "f"}}})).start().rest()
        for length in range(len(whole.events) - 6, len(whole.events)):
            assert without_pauses(whole.cut(length).rest()) == without_pauses(whole)
