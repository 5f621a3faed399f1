"""A call of which nobody knows whether it was done counts as done, and is undone."""

from typing import Any

import pytest
from pydantic import JsonValue

from events.run_parts import Awaited, CallAwaited
from tests.write_side.running import WAITING, Failed, Running, run
from write_side.interpreter.asked_again import key_of
from write_side.run_commands import AnswerRunTask, CancelRun, FailRunTask, TimeOutRunTask

NO = Failed("https://example.com/no", 500)
SILENCE = Failed("https://example.com/silence", 500, in_doubt=True)
FAULT: Any = {"raise": {"error": {"type": "https://example.com/later", "status": 500, "title": "Later"}}}


def call(name: str, **more: Any) -> dict[str, Any]:
    """A task that calls a place of its name, and is undone by a call that says what there is to undo."""
    undo = {"call": "http", "with": {"method": "post", "endpoint": "http://un/" + name, "body": "${ $compensated }"}}
    called = {"call": "http", "with": {"method": "post", "endpoint": "http://do/" + name}}
    return {name: {**called, "metadata": {"compensate": [{"un" + name: undo}]}, **more}}


def fork(*branches: dict[str, Any], compete: bool = False) -> dict[str, Any]:
    return {"both": {"fork": {"compete": compete, "branches": [*branches]}}}


class Outside:
    """Answers each call in order with what is listed for its place, the last of it again and again; `{}` where nothing is."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name: [*listed] if isinstance(listed, list) else [listed] for name, listed in answers.items()}
        self.keys: list[tuple[str, int]] = []

    def __call__(self, awaited: Awaited, running: Running) -> JsonValue:
        assert isinstance(awaited, CallAwaited)
        what, _, name = str(awaited.arguments["endpoint"]).removeprefix("http://").partition("/")
        # A task may have been given up by what was written with its beginning.
        waiting = [number for number, node in running.state.nodes.items() if node.awaits == awaited]
        self.keys += [(what + name, key_of(running.state, task)) for task in waiting[-1:]]
        listed = self.answers.get(what + name, [{}])
        answer = listed.pop(0) if len(listed) > 1 else listed[0]
        if isinstance(answer, Failed):
            raise answer
        return answer  # type: ignore[no-any-return]


def undone(found: Running) -> list[tuple[str, Any]]:
    """What was undone, in order, each with the output that it is told to have had."""
    calls = [asked.arguments for asked in found.asked if isinstance(asked, CallAwaited)]
    return [(str(each["endpoint"])[-1], each["body"]["output"]) for each in calls if "body" in each]  # type: ignore[index, call-overload]


class TestACallThatMayHaveBeenDone:
    def test_is_undone_first_without_an_output(self) -> None:
        found = run([call("a"), call("b")], answer=Outside(doa=1, dob=SILENCE))
        assert (found.status, undone(found)) == ("compensated", [("b", None), ("a", 1)])

    def test_is_undone_if_it_is_all_that_the_run_did(self) -> None:
        found = run([call("a")], answer=Outside(doa=SILENCE))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_is_not_undone_if_it_was_refused(self) -> None:
        found = run([call("a"), call("b")], answer=Outside(doa=1, dob=NO))
        assert (found.status, undone(found)) == ("compensated", [("a", 1)])

    def test_is_not_undone_if_nothing_says_how(self) -> None:
        found = run([call("a", metadata={})], answer=Outside(doa=SILENCE))
        assert (found.status, undone(found)) == ("faulted", [])

    def test_is_undone_when_it_took_too_long(self) -> None:
        found = run([call("a", timeout={"after": {"seconds": 3}})], answer=Outside(doa=WAITING)).later(3)
        found.follow(found.send(TimeOutRunTask(run_id="r1", task=1, due_at=found.now, at=found.now)))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_is_undone_when_what_it_is_part_of_took_too_long(self) -> None:
        tasks = [{"part": {"do": [call("a")], "timeout": {"after": {"seconds": 3}}}}]
        found = run(tasks, answer=Outside(doa=WAITING)).later(3)
        found.follow(found.send(TimeOutRunTask(run_id="r1", task=1, due_at=found.now, at=found.now)))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_is_undone_when_it_lost_a_race(self) -> None:
        tasks = [fork(call("a"), call("b"), compete=True), {"c": FAULT}]
        found = run(tasks, answer=Outside(doa=WAITING, dob=2))
        assert (found.status, sorted(undone(found))) == ("compensated", [("a", None), ("b", 2)])

    def test_is_undone_when_an_error_beside_it_was_caught(self) -> None:
        tasks = [{"t": {"try": [fork(call("a"), {"c": FAULT})], "catch": {}}}, {"d": FAULT}]
        found = run(tasks, answer=Outside(doa=WAITING))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_is_undone_when_it_was_waited_for_in_vain(self) -> None:
        found = run([fork(call("a"), {"c": FAULT})], answer=Outside(doa=WAITING))
        assert found.status == "failing"
        found.follow(found.send(FailRunTask(run_id="r1", task=2, error=SILENCE.error, in_doubt=True, at=found.now)))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])

    def test_is_undone_when_the_run_is_cancelled_later(self) -> None:
        tasks = [{"t": {"try": [call("a")], "catch": {}}}, call("b")]
        found = run(tasks, answer=Outside(doa=SILENCE, dob=WAITING)).tell(CancelRun(run_id="r1", compensate=True))
        found.follow(found.send(AnswerRunTask(run_id="r1", task=3, answer=2, at=found.now)))
        assert (found.status, undone(found)) == ("compensated", [("b", 2), ("a", None)])

    @pytest.mark.parametrize("more", [{"output": {"as": '${ error("x") }'}}, {"output": {"as": "${ [., .] }"}}])
    def test_is_undone_when_its_answer_cannot_be_used(self, more: dict[str, Any]) -> None:
        found = run([call("a", **more)], answer=Outside(doa="x" * 600_000))
        assert (found.status, undone(found)) == ("compensated", [("a", None)])


class TestAnUndoingThatMayHaveBeenDone:
    def test_is_asked_for_under_the_same_key_until_it_is_answered(self) -> None:
        outside = Outside(una=[SILENCE, SILENCE, NO, 1])
        found = run([call("a"), {"b": FAULT}], answer=outside)
        first, second, third, fourth = [key for what, key in outside.keys if what == "una"]
        assert found.status == "compensated"
        assert first == second == third != fourth

    def test_has_another_key_in_each_round_of_a_loop(self) -> None:
        undo = [{"each": {"for": {"in": "${ [1, 2] }"}, "do": [call("u", metadata={})]}}]
        outside = Outside(dou=[1, SILENCE, 1])
        tasks = [{"a": {"set": {"x": 1}, "metadata": {"compensate": undo}}}, {"b": FAULT}]
        found = run(tasks, answer=outside)
        one, two, one_again, two_again = [key for what, key in outside.keys if what == "dou"]
        assert found.status == "compensated"
        assert len({one, two, one_again}) == 3
        assert two_again == two

    def test_has_another_key_for_another_task_of_the_same_kind(self) -> None:
        outside = Outside(una=[SILENCE, 1])
        tasks = [{"each": {"for": {"in": "${ [1, 2] }"}, "do": [call("a")]}}, {"b": FAULT}]
        assert run(tasks, answer=outside).status == "compensated"
        first, again, other = [key for what, key in outside.keys if what == "una"]
        assert first == again != other
