"""How runs go on where two things meet: a cut and a fault, an extension and a function, an event and a round, a pause and a deadline."""

from datetime import timedelta
from typing import Any

import pytest

from events.run import RunRetried, RunTaskFaulted, RunTaskSkipped, RunTaskStarted
from events.run_compensation import RunCompensationFailed, RunParked, RunTaskCompensated
from events.run_parts import JobAwaited
from tests.write_side.driven import RUN_ID, Driven
from tests.write_side.dsl_case import begun, fails
from tests.write_side.running import START, WAITING, Failed, Running, run, workflow
from tests.write_side.test_run_in_doubt import Outside, call
from write_side.job import SubmitJob
from write_side.run import RUN
from write_side.run_commands import (
    AdvanceRun,
    AnswerRunTask,
    CancelRun,
    DeliverRunEvent,
    FailRunTask,
    ResumeRun,
    RetryRun,
    RetryRunCompensation,
    RunAlreadyEnded,
    SendRunEvent,
    SuspendRun,
    TimeOutRunTask,
)

BAD_INPUT = {"set": {"a": 1}, "input": {"from": 'error("no")'}}
CALL = {"call": "job", "with": {"kind": "x", "payload": "x"}}
UNDONE_BY_A_CALL = {"set": {"a": 1}, "metadata": {"compensate": [{"undo": CALL}]}}
FAULT = {"raise": {"error": {"type": "https://example.com/no", "status": 400}}}
SLOW = {"call": "job", "with": {"kind": "x", "payload": "slow"}}


def cut_behind(run: Driven, event_class: type) -> Driven:
    """The run as it is if its process dies behind the first event of a class."""
    place = next(at for at, event in enumerate(run.events) if isinstance(event, event_class))
    return run.cut(place + 1)


class TestACut:
    def test_between_a_beginning_and_its_fault_leaves_the_fault(self) -> None:
        whole = Driven(workflow([{"a": BAD_INPUT}])).start().rest()
        cut = cut_behind(whole, RunTaskStarted).rest()
        assert whole.state.status == "faulted"
        assert cut.events == whole.events

    def test_between_the_last_attempt_to_undo_and_the_parking_begins_no_other_attempt(self) -> None:
        undo = [{"undo": FAULT}]
        tasks = [{"a": {"set": {"a": 1}, "metadata": {"compensate": undo}}}, {"b": FAULT}]
        whole = Driven(workflow(tasks)).start().rest()
        place = next(at for at, event in enumerate(whole.events) if isinstance(event, RunParked))
        assert whole.cut(place).rest().events == whole.events
        assert sum(isinstance(event, RunCompensationFailed) for event in whole.events) == 5


class TestARetry:
    def test_begins_the_task_that_failed_wherever_the_one_before_it_in_the_list_leads(self) -> None:
        tasks = [{"a": {"set": {"n": 1}, "then": "c"}}, {"b": {"set": {"n": 2}, "then": "end"}}, {"c": CALL}]
        answers: list[Any] = [Failed("https://example.com/no", 503), {"done": True}]
        found = run(tasks, answer=lambda *_: answer_or_fail(answers.pop(0)))
        assert found.tell(RetryRun(run_id="r1")).output == {"done": True}

    def test_gives_a_task_behind_an_extended_one_what_that_yielded(self) -> None:
        after = {"extend": "set", "after": [{"say": {"call": "job", "with": {"kind": "x", "payload": "${ . }"}}}]}
        answers: list[Any] = [Failed("https://example.com/no", 503), None]
        found = run(
            [{"a": {"set": {"n": 1}}}],
            {"n": 0},
            answer=lambda *_: answer_or_fail(answers.pop(0)),
            use={"extensions": [{"log": after}]},
        )
        found.tell(RetryRun(run_id="r1"))
        said = [awaited.request["payload"] for awaited in found.asked if isinstance(awaited, JobAwaited)]
        assert (found.status, said) == ("completed", [{"n": 1}, {"n": 1}])

    def test_of_a_race_that_was_lost_begins_all_its_branches_again(self) -> None:
        inner = {"fork": {"compete": True, "branches": [{"x": CALL}, {"y": {"do": [{"z": CALL}]}}]}}
        branches = [{"a": CALL}, {"skipped": {**CALL, "if": "${ false }"}}, {"b": {"do": [{"inner": inner}]}}]
        race = {"race": {"fork": {"compete": True, "branches": branches}}}
        found = run([race], answer=lambda *_: WAITING)
        fail_all(found, "a", "x", "z")
        assert (found.status, found.error["status"]) == ("faulted", 503)
        before = len(found.events)
        found.tell(RetryRun(run_id="r1"))
        assert begun(found.events[before:]) == ["a", "skipped", "x", "z"]
        assert RUN.fold(found.events) == found.state
        fail_all(found, "z", "x")
        found.send(AnswerRunTask(run_id="r1", task=open_task(found, "a"), answer="won"))
        assert (found.status, found.output) == ("completed", "won")

    def test_leaves_a_branch_that_fails_at_once_to_those_that_have_still_to_begin_again(self) -> None:
        race = {"fork": {"compete": True, "branches": [{"a": FAULT}, {"b": CALL}]}}
        answers: list[Any] = [Failed("https://example.com/no", 503), "won"]
        found = run([{"race": race}], answer=lambda *_: answer_or_fail(answers.pop(0)))
        assert found.status == "faulted"
        assert found.tell(RetryRun(run_id="r1")).output == "won"

    def test_leaves_a_race_alone_that_has_still_somebody_in_it(self) -> None:
        race = {"fork": {"compete": True, "branches": [{"a": CALL}, {"b": CALL}]}}
        found = run([{"both": {"fork": {"branches": [{"race": race}, {"c": CALL}]}}}], answer=lambda *_: WAITING)
        fail_all(found, "a", "c")
        before = len(found.events)
        found.tell(RetryRun(run_id="r1"))
        assert begun(found.events[before:]) == ["c"]

    def test_that_was_stored_without_them_begins_no_other_branches(self) -> None:
        race = {"fork": {"compete": True, "branches": [{"a": CALL}, {"b": CALL}]}}
        found = run([{"race": race}], answer=lambda *_: WAITING)
        fail_all(found, "a", "b")
        found.events.append(RunRetried())
        found.state = RUN.fold(found.events)
        assert begun(found.send(AdvanceRun(run_id="r1", at=START))) == ["b"]


def open_task(run: Running, name: str) -> int:
    return next(task for task, node in run.state.nodes.items() if node.name == name)


def fail_all(run: Running, *names: str) -> None:
    """These tasks, which wait, fail one after the other."""
    for name in names:
        run.send(FailRunTask(run_id="r1", task=open_task(run, name), error=fails(503)))


def answer_or_fail(answer: Any) -> Any:
    if isinstance(answer, Failed):
        raise answer
    return answer


class TestAnExtension:
    EXTENSION = {"log": {"extend": "all", "before": [{"say": {"call": "tell", "with": {}}}]}}

    def test_does_not_extend_what_the_functions_do_that_it_calls_itself(self) -> None:
        use = {"functions": {"tell": {"do": [{"it": {"set": {"told": 1}}}]}}, "extensions": [self.EXTENSION]}
        found = run([{"a": {"set": {"a": 1}}}], use=use)
        assert found.status == "completed"
        assert sum(isinstance(event, RunTaskStarted) for event in found.events) == 4

    def test_whose_condition_its_own_task_changes_is_done_once(self) -> None:
        extension = {
            "extend": "set",
            "when": "$context.done == null",
            "after": [{"mark": {"set": {"done": 1}, "export": {"as": "{done: 1}"}}}, {"more": {"set": {"m": 1}}}],
        }
        found = run([{"a": {"set": {"a": 1}, "then": "end"}}, {"b": FAULT}], use={"extensions": [{"x": extension}]})
        names = [event.name for event in found.events if isinstance(event, RunTaskStarted)]
        assert (found.status, names) == ("completed", ["a", "mark", "more"])

    def test_keeps_where_a_switch_leads(self) -> None:
        extension = {
            "extend": "switch",
            "when": "$context.done == null",
            "after": [{"mark": {"set": {"done": 1}, "export": {"as": "{done: 1}"}}}],
        }
        tasks = [{"a": {"switch": [{"always": {"then": "end"}}]}}, {"b": FAULT}]
        assert run(tasks, use={"extensions": [{"x": extension}]}).status == "completed"

    def test_can_end_the_run_behind_a_task(self) -> None:
        extension = {"extend": "set", "after": [{"stop": {"set": {"stop": 1}, "then": "end"}}]}
        found = run([{"a": {"set": {"a": 1}}}, {"b": FAULT}], use={"extensions": [{"x": extension}]})
        assert (found.status, found.output) == ("completed", {"a": 1})


class TestAnEventInTheMiddleOfARound:
    def test_waits_for_the_round_to_end(self) -> None:
        task = {"listen": {"to": {"any": [], "until": "length > 1"}}, "foreach": {"do": [{"a": CALL}]}}
        found = run([{"l": task}], "given", answer=lambda *_: WAITING)
        for number in (1, 2):
            found.send(DeliverRunEvent(run_id="r1", event={"type": "x", "id": str(number), "data": number}))
        started = [event for event in found.events if isinstance(event, RunTaskStarted) and event.name == "a"]
        assert [event.input for event in started] == ["given"]
        found.send(AnswerRunTask(run_id="r1", task=started[0].task, answer="one"))
        found.send(AnswerRunTask(run_id="r1", task=started[0].task + 1, answer="two"))
        assert (found.status, found.output) == ("completed", ["one", "two"])

    def test_does_not_revive_a_task_that_has_failed(self) -> None:
        found = run([{"l": {"listen": {"to": {"one": {"with": {"type": "x"}}}}}}])
        found.send(SuspendRun(run_id="r1"))
        found.send(TimeOutRunTask(run_id="r1", task=1, due_at=found.now, at=found.now))
        assert found.send(DeliverRunEvent(run_id="r1", event={"type": "x", "id": "1"})) == []
        assert found.tell(ResumeRun(run_id="r1")).status == "faulted"


class TestADeadline:
    def test_that_cannot_be_told_ends_the_run(self) -> None:
        found = run([{"a": {"set": {"a": 1}}}], timeout={"after": "${ 7 }"})
        assert (found.status, found.error["status"]) == ("faulted", 400)

    def test_holds_also_for_what_undoes(self) -> None:
        undo = [{"u": {**SLOW, "timeout": {"after": "PT5S"}}}]
        tasks = [{"a": {"set": {"a": 1}, "metadata": {"compensate": undo}}}, {"b": FAULT}]
        found = Driven(workflow(tasks)).start().rest()
        assert found.state.status == "parked"
        timed_out = [e for e in found.events if isinstance(e, RunTaskFaulted) and e.error.type.endswith("timeout")]
        assert len(timed_out) == 5

    def test_that_comes_after_the_answer_changes_nothing(self) -> None:
        found = run([{"a": {**CALL, "timeout": {"after": "PT5S"}}}], answer=lambda *_: WAITING)
        found.send(SuspendRun(run_id="r1"))
        found.send(AnswerRunTask(run_id="r1", task=1, answer="here"))
        late = found.now + timedelta(seconds=6)
        assert found.send(TimeOutRunTask(run_id="r1", task=1, due_at=late, at=late)) == []
        assert found.tell(ResumeRun(run_id="r1")).output == "here"


class TestAPause:
    def test_is_refused_while_a_run_that_failed_waits_for_what_may_take_effect(self) -> None:
        found = run([{"f": {"fork": {"branches": [call("a"), {"b": FAULT}]}}}], answer=lambda *_: WAITING)
        assert found.status == "failing"
        with pytest.raises(RunAlreadyEnded):
            found.send(SuspendRun(run_id="r1"))

    def test_is_refused_while_a_cancelled_run_waits_for_what_may_take_effect(self) -> None:
        found = run([call("a")], answer=lambda *_: WAITING).tell(CancelRun(run_id="r1", compensate=True))
        assert found.status == "cancelling"
        with pytest.raises(RunAlreadyEnded):
            found.send(SuspendRun(run_id="r1"))


class TestAParkedRun:
    def test_goes_on_also_where_the_clock_is_behind_the_one_that_it_began_by(self) -> None:
        outside = Outside(una=[Failed("https://example.com/no", 500)] * 5 + [1])
        found = run([call("a"), {"b": FAULT}], answer=outside)
        assert found.status == "parked"
        found.now = START - timedelta(hours=1)
        assert found.tell(RetryRunCompensation(run_id="r1")).status == "compensated"


class TestWhatUndoes:
    def test_is_not_undone_itself(self) -> None:
        child = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}
        tasks = [{"a": {"set": {"a": 1}, "metadata": {"compensate": [{"u": child}]}}}, {"b": FAULT}]
        found = run(tasks, answer=lambda *_: {"n": 1})
        assert found.status == "compensated"
        assert [event.of for event in found.events if isinstance(event, RunTaskCompensated)] == [1]


class TestABranchThatWasSkippedInARace:
    def test_has_won_where_its_event_does_not_say_that_it_is_withdrawn(self) -> None:
        race = {"fork": {"compete": True, "branches": [{"x": {**CALL, "if": "${ false }"}}, {"y": SLOW}]}}
        found = run([{"race": race}], given={"n": 1}, answer=lambda *_: WAITING)
        at, skipped = next((at, each) for at, each in enumerate(found.events) if isinstance(each, RunTaskSkipped))
        before = skipped.model_copy(update={"withdrawn": None})
        found.state = RUN.fold([*found.events[:at], before, *found.events[at + 1 :]])
        assert found.status == "running"
        assert found.tell(AdvanceRun(run_id="r1", at=START)).output == {"n": 1}


class TestTheFirstOfTwoErrors:
    def test_is_the_one_that_counts(self) -> None:
        race = {"fork": {"compete": True, "branches": [{"x": CALL}, {"y": SLOW}]}}
        both = {"fork": {"branches": [{"race": race}, {"z": SLOW}]}}
        tried = {"try": [{"both": both}], "catch": {"as": "e", "do": [{"h": {"set": "${ $e }"}}]}}

        def answer(awaited: Any, running: Running) -> Any:
            if awaited.request["payload"] == "slow":
                return WAITING
            raise Failed("https://example.com/lost-the-race", 401)

        found = run([{"a": tried}], answer=answer)
        z = next(event.task for event in found.events if isinstance(event, RunTaskStarted) and event.name == "z")
        found.send(FailRunTask(run_id="r1", task=z, error=Failed("https://example.com/z", 402).error))
        assert isinstance(found.output, dict)
        assert (found.status, found.output["status"]) == ("completed", 402)


class TestALoopOverAList:
    def test_evaluates_what_its_author_wrote_into_it(self) -> None:
        loop = {"for": {"in": [{"n": "${ .n }"}]}, "do": [{"a": {"set": "${ $item }"}}]}
        assert run([{"l": loop}], given={"n": 2}).output == {"n": 2}


class TestASentEvent:
    def test_waits_while_the_run_is_paused(self) -> None:
        found = Driven(workflow([{"l": {"listen": {"to": {"one": {"with": {"type": "x"}}}}}}]), sends=False)
        found.start().rest()
        found.send(SuspendRun(run_id=RUN_ID))
        found.send(SendRunEvent(run_id=RUN_ID, event={"type": "x", "id": "1", "data": 5}))
        found.send(ResumeRun(run_id=RUN_ID))
        assert found.rest().outcome[:2] == ("completed", [5])


class TestAContainer:
    @pytest.mark.parametrize("said", [{}, {"requirements": {"cpu_milli": 250, "memory_mib": 64}}])
    def test_is_a_job_that_can_be_submitted(self, said: dict[str, Any]) -> None:
        task = {"run": {"container": {"image": "alpine"}}, "metadata": said}
        (asked,) = run([{"c": task}], answer=lambda *_: WAITING).asked
        assert isinstance(asked, JobAwaited)
        job = SubmitJob(job_id=asked.job_id, **asked.request)
        assert job.payload is not None
        assert job.payload["container"]["image"] == "alpine"
        assert job.requirements.cpu_milli == said.get("requirements", {"cpu_milli": 1_000})["cpu_milli"]
