"""The decider of runs: what operators and others ask of them, and what becomes of it."""

from datetime import timedelta

import pytest

from events.run import (
    RunCancelled,
    RunCancelRequested,
    RunResumed,
    RunRetried,
    RunStarted,
    RunSuspended,
    RunTaskCancelled,
    RunTaskStarted,
)
from events.run_compensation import RunCompensationSkipped, RunTaskCompensated
from events.run_parts import RunError, UndoingAwaited
from tests.write_side.running import START, WAITING, Failed, run, workflow
from write_side.run import RUN
from write_side.run_commands import (
    AdvanceRun,
    AnswerRunTask,
    CancelRun,
    CompensateRun,
    FailRunTask,
    FireRunTimer,
    ResumeRun,
    RetryRun,
    RetryRunCompensation,
    RunAlreadyEnded,
    RunAlreadyExists,
    RunAlreadySuspended,
    RunAlreadyUndone,
    RunLeftAsItWas,
    RunNotFaulted,
    RunNotParked,
    RunNotSuspended,
    RunUnknown,
    SkipRunCompensation,
    StartRun,
    SuspendRun,
    TerminateRun,
    TimeOutRunTask,
)
from write_side.workflow import (
    WORKFLOW,
    ActivateWorkflow,
    DeprecateWorkflow,
    RegisterWorkflow,
    WorkflowUnknown,
    WorkflowVersionIsDeprecated,
    WorkflowVersionUnknown,
)

CALL = {"call": "job", "with": {"kind": "x", "payload": "x"}}
FAULT = {"raise": {"error": {"type": "https://example.com/no", "status": 400}}}
SET = {"set": {"a": 1}}
UNDO = {"metadata": {"compensate": [{"undo": CALL}]}}


def waiting(*_):
    return WAITING


def registered(*versions):
    past = []
    for version in versions:
        definition = workflow([{"a": SET}])
        definition["document"] |= {"version": version}
        past += WORKFLOW.decide(RegisterWorkflow(definition=definition), WORKFLOW.fold(past))
    return past


def decided(past, command):
    return WORKFLOW.decide(command, WORKFLOW.fold(past))


def start(version=None):
    return StartRun(run_id="r1", workflow_id="test.w", workflow_version=version, input=1, at=START)


def asked(found, name=None):
    return [e for e in found.events if isinstance(e, RunTaskStarted) and (name is None or e.name == name)]


class TestStarting:
    def test_takes_the_version_that_is_named_else_the_active_one_else_the_last(self, given):
        past = registered("1.0.0", "1.1.0", "2.0.0")
        active = decided(past, ActivateWorkflow(workflow_id="test.w", workflow_version="1.1.0"))
        for more, version, expected in (([], None, "2.0.0"), (active, None, "1.1.0"), (active, "1.0.0", "1.0.0")):
            event, *_ = given(RUN).beside("workflow-test.w", *past, *more).when(start(version)).events
            assert isinstance(event, RunStarted)
            assert event.workflow_version == expected

    def test_needs_a_workflow_and_a_version_in_use(self, given):
        past = registered("1.0.0")
        gone = decided(past, DeprecateWorkflow(workflow_id="test.w", workflow_version="1.0.0"))
        given(RUN).when(start()).then_refused(WorkflowUnknown, 404)
        given(RUN).beside("workflow-test.w", *past).when(start("3.0.0")).then_refused(WorkflowVersionUnknown, 404)
        given(RUN).beside("workflow-test.w", *past, *gone).when(start()).then_refused(WorkflowVersionIsDeprecated)

    def test_happens_once(self, given):
        past = run([{"a": CALL}], answer=waiting).events
        given(RUN, *past).beside("workflow-test.w", *registered("1.0.0")).when(start()).then_refused(RunAlreadyExists)


class TestPausing:
    def test_keeps_what_is_answered_and_begins_nothing(self, given):
        found = run([{"a": CALL}, {"b": SET}], answer=waiting)
        found.send(SuspendRun(run_id="r1", reason="later"))
        found.tell(AnswerRunTask(run_id="r1", task=1, answer=1))
        assert not asked(found, "b")
        assert found.tell(ResumeRun(run_id="r1")).status == "completed"

    def test_loses_no_attempt_whose_time_comes_meanwhile_by_another_clock(self):
        retry = {"delay": {"seconds": 10}, "limit": {"attempt": {"count": 2}}}
        found = run([{"t": {"try": [{"a": CALL}], "catch": {"retry": retry}}}], answer=waiting)
        found.send(FailRunTask(run_id="r1", task=2, error=RunError(type="t", status=500), at=START))
        found.send(SuspendRun(run_id="r1"))
        found.send(FireRunTimer(run_id="r1", task=1, due_at=START + timedelta(seconds=10), at=START))
        found.send(ResumeRun(run_id="r1"))
        found.send(AdvanceRun(run_id="r1", at=START))
        assert len(asked(found, "a")) == 2

    def test_is_done_once_and_undone_once(self, given):
        past = run([{"a": CALL}], answer=waiting).events
        given(RUN, *past).when(SuspendRun(run_id="r1")).then(RunSuspended())
        given(RUN, *past, RunSuspended()).when(SuspendRun(run_id="r1")).then_refused(RunAlreadySuspended)
        given(RUN, *past, RunSuspended()).when(ResumeRun(run_id="r1")).then(RunResumed())
        given(RUN, *past).when(ResumeRun(run_id="r1")).then_refused(RunNotSuspended)
        given(RUN).when(SuspendRun(run_id="r1")).then_refused(RunUnknown, 404)
        given(RUN, *run([{"a": SET}]).events).when(SuspendRun(run_id="r1")).then_refused(RunAlreadyEnded)


class TestCancelling:
    TASKS = [{"a": {**SET, **UNDO}}, {"b": {**SET, **UNDO}}, {"c": CALL}]

    def cancelled(self, compensate):
        return run(self.TASKS, answer=answer_but("x", 3)).tell(CancelRun(run_id="r1", compensate=compensate))

    def test_gives_up_what_is_open(self):
        found = self.cancelled(compensate=False)
        assert found.events[-2:] == [RunTaskCancelled(task=3), RunCancelled()]

    def test_undoes_what_is_done_the_last_first(self):
        found = self.cancelled(compensate=True)
        assert found.status == "compensated"
        assert [e.of for e in found.events if isinstance(e, RunTaskCompensated)] == [2, 1]

    def test_is_refused_once_the_run_ends(self):
        for compensate in (True, False):
            with pytest.raises(RunAlreadyEnded):
                self.cancelled(compensate).send(CancelRun(run_id="r1"))

    def test_by_force_undoes_nothing_not_even_while_it_is_undoing(self):
        found = run([{"a": {**SET, **UNDO}}, {"b": FAULT}], answer=waiting)
        assert found.status == "compensating"
        assert RunCancelRequested(compensate=False) in found.tell(TerminateRun(run_id="r1")).events
        assert found.status == "cancelled"


def answer_but(kind, task):
    """Answers everything but one task."""
    return lambda awaited, running: WAITING if awaited.job_id.endswith(f".{task}") else 1


class TestRetrying:
    @pytest.mark.parametrize(
        "task",
        [
            CALL,
            {"do": [{"x": SET}, {"y": CALL}]},
            {"for": {"in": "${ [1, 2] }"}, "do": [{"y": CALL}]},
            {"fork": {"branches": [{"x": SET}, {"y": CALL}]}},
            {"call": "f"},
        ],
        ids=["call", "do", "for", "fork", "function"],
    )
    def test_goes_on_from_the_task_that_failed(self, task):
        broken = [True]

        def answer(awaited, running):
            if broken:
                raise Failed("https://example.com/down", 503)
            return 7

        found = run([{"before": SET}, {"a": task}, {"z": SET}], answer=answer, use={"functions": {"f": CALL}})
        assert found.status == "faulted"
        broken.clear()
        assert found.tell(RetryRun(run_id="r1")).status == "completed"
        assert len(asked(found, "before")) == 1
        assert RunRetried() in found.events

    def test_needs_a_run_that_failed(self):
        with pytest.raises(RunNotFaulted):
            run([{"a": SET}]).send(RetryRun(run_id="r1"))


class TestARunThatCannotBeUndone:
    def parked(self, answer):
        return run([{"a": {**SET, **UNDO}}, {"b": {**SET, **UNDO}}, {"c": FAULT}], answer=answer)

    def test_is_parked_and_goes_on_once_an_operator_says_so(self):
        broken = [True]

        def answer(awaited, running):
            if broken:
                raise Failed("https://example.com/down", 503)
            return 1

        found = self.parked(answer)
        assert found.status == "parked"
        broken.clear()
        assert found.tell(RetryRunCompensation(run_id="r1")).status == "compensated"
        assert [e.of for e in found.events if isinstance(e, RunTaskCompensated)] == [2, 1]
        assert found.error["type"] == "https://example.com/no"

    def test_is_undone_but_for_what_an_operator_skips(self):
        def answer(awaited, running):
            if running.state.undoing.of.task == 2:
                raise Failed("https://example.com/down", 503)
            return 1

        found = self.parked(answer).tell(SkipRunCompensation(run_id="r1"))
        assert found.status == "compensated"
        assert RunCompensationSkipped(of=2) in found.events
        assert [e.of for e in found.events if isinstance(e, RunTaskCompensated)] == [1]

    def test_can_be_ended_by_force(self):
        def answer(awaited, running):
            raise Failed("https://example.com/down", 503)

        assert self.parked(answer).tell(TerminateRun(run_id="r1")).status == "cancelled"

    def test_is_no_other(self):
        for command in (RetryRunCompensation(run_id="r1"), SkipRunCompensation(run_id="r1")):
            with pytest.raises(RunNotParked):
                run([{"a": CALL}], answer=waiting).send(command)


class TestADeadline:
    def test_ends_a_task_or_the_run(self):
        for task, more in ((1, {}), (0, {"timeout": {"after": "PT1S"}})):
            found = run([{"a": {**CALL, "timeout": {"after": "PT1S"}}}], answer=waiting, **more)
            due_at = START + timedelta(seconds=1)
            found.send(TimeOutRunTask(run_id="r1", task=task, due_at=due_at, at=due_at))
            assert (found.status, found.error["status"]) == ("faulted", 408)

    def test_is_told_when_the_task_or_run_begins(self):
        found = run([{"a": {**CALL, "timeout": {"after": "PT1S"}}}], answer=waiting, timeout={"after": "PT5S"})
        assert found.events[0].times_out_at == START + timedelta(seconds=5)
        assert asked(found)[0].times_out_at == START + timedelta(seconds=1)


class TestAChildRun:
    CHILD = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}}

    def test_is_asked_for_and_its_output_is_that_of_the_task(self):
        found = run([{"a": self.CHILD}], given=3, answer=lambda *_: {"b": 2})
        (awaited,) = found.asked
        assert (awaited.run_id, awaited.workflow_id, awaited.workflow_version) == ("r1.1", "test.child", "1.0.0")
        assert (awaited.input, found.output) == (3, {"b": 2})

    def test_is_undone_as_a_whole(self):
        found = run([{"a": self.CHILD}, {"b": FAULT}], answer=lambda *_: 1)
        assert (found.status, found.asked[-1]) == ("compensated", UndoingAwaited(run_id="r1.1"))

    def test_undoes_what_it_did_when_told_so(self):
        found = run([{"a": {**SET, **UNDO}}], answer=lambda *_: 1)
        assert found.tell(CompensateRun(run_id="r1")).status == "compensated"
        with pytest.raises(RunAlreadyUndone):
            found.send(CompensateRun(run_id="r1"))

    def test_is_undone_before_it_has_completed(self):
        found = run([{"a": {**SET, **UNDO}}, {"b": CALL}], answer=waiting)
        assert found.tell(CompensateRun(run_id="r1", reason="why")).state.reason == "why"
        assert found.status == "compensating"
        assert found.send(CompensateRun(run_id="r1")) == []

    def test_that_was_terminated_is_not_undone_any_more(self):
        found = run([{"a": CALL}], answer=waiting)
        found.tell(TerminateRun(run_id="r1"))
        with pytest.raises(RunLeftAsItWas):
            found.send(CompensateRun(run_id="r1"))


class TestWhatComesTwiceOrTooLate:
    def test_changes_nothing(self):
        found = run([{"a": CALL}, {"b": CALL}], answer=waiting)
        found.send(AnswerRunTask(run_id="r1", task=1, answer=1))
        error = Failed("https://example.com/down", 503).error
        for command in (
            AnswerRunTask(run_id="r1", task=1, answer=2),
            FailRunTask(run_id="r1", task=1, error=error),
            TimeOutRunTask(run_id="r1", task=1, due_at=START),
            AnswerRunTask(run_id="r1", task=99, answer=2),
        ):
            assert found.send(command) == []
