"""How the lifecycle events of tasks follow from each other when runs fail, are tried again, undo what they did and are forked."""

from typing import Any

from events.run import (
    RunAdvanced,
    RunCancelled,
    RunCancelRequested,
    RunErrorCaught,
    RunEventConsumed,
    RunFaulted,
    RunForked,
    RunRetried,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
)
from events.run_compensation import RunCompensationFailed, RunCompensationStarted, RunTaskCompensating
from events.run_parts import Origin
from tests.events.told import BEGUN, ERROR, NOON, RESERVE, WORKFLOW, kinds, listening, task, told


class TestATask:
    def test_that_is_skipped_is_not_told_of(self) -> None:
        assert told(RunTaskSkipped(task=1, reference="/do/0/a", name="a")) == []

    def test_that_is_not_known_is_not_told_of(self) -> None:
        events = [RunTaskCompleted(task=9), RunTaskCancelled(task=9), RunTaskFaulted(task=9, error=ERROR)]
        assert told(*events, RunTaskRetried(task=9, attempt=1), RunTaskPrepared(task=9), RunAdvanced()) == []

    def test_that_fetches_what_another_one_needs_is_not_told_of(self) -> None:
        assert told(task(1, "/do/0/a", kind="document"), RunTaskCompleted(task=1)) == []

    def test_that_subscribes_to_messages_correlates_nothing(self) -> None:
        message = RunEventConsumed(task=1, event_id="", item={"n": 1}, closed=True)
        assert kinds(message, before=(*BEGUN, task(1, "/do/0/a", kind="call"))) == []

    def test_fails_with_what_it_is_made_of_when_nobody_catches_the_error(self) -> None:
        before = (*BEGUN, task(1, "/do/0/a", kind="do"), task(2, "/do/0/a/do/0/b", 1))
        found = kinds(RunTaskFaulted(task=2, error=ERROR), RunFaulted(error=ERROR), before=before)
        assert found == [
            "task.faulted /do/0/a/do/0/b",
            "task.faulted /do/0/a",
            "workflow.faulted",
            "workflow.status-changed faulted",
        ]

    def test_is_given_up_when_another_one_fails_the_run(self) -> None:
        branches = [task(2, "/do/0/a/fork/branches/0/b", 1), task(3, "/do/0/a/fork/branches/1/c", 1)]
        before = (*BEGUN, task(1, "/do/0/a", kind="fork", items=[1, 2]), *branches)
        found = kinds(RunTaskFaulted(task=2, error=ERROR), RunFaulted(error=ERROR), before=before)
        assert found[:3] == [
            "task.faulted /do/0/a/fork/branches/0/b",
            "task.cancelled /do/0/a/fork/branches/1/c",
            "task.faulted /do/0/a",
        ]
        again = kinds(RunRetried(), before=[*before, RunTaskFaulted(task=2, error=ERROR), RunFaulted(error=ERROR)])
        assert again == [
            "workflow.resumed",
            "task.retried /do/0/a",
            "task.retried /do/0/a/fork/branches/0/b",
            "task.resumed /do/0/a/fork/branches/1/c",
            "workflow.status-changed running",
        ]

    def test_that_was_caught_has_failed_and_what_tried_it_goes_on(self) -> None:
        before = (*BEGUN, task(1, "/do/0/a", kind="try"), task(2, "/do/0/a/try/0/b", 1))
        caught = RunErrorCaught(task=1, error=ERROR, attempt=1, retry_at=NOON)
        found = kinds(RunTaskFaulted(task=2, error=ERROR), caught, RunTaskRetried(task=1, attempt=1), before=before)
        assert found == ["task.faulted /do/0/a/try/0/b", "task.retried /do/0/a"]

    def test_that_ended_is_not_told_to_have_ended_again(self) -> None:
        before = (*BEGUN, RESERVE, RunTaskFaulted(task=1, error=ERROR), RunFaulted(error=ERROR))
        events = [RunCancelRequested(compensate=False), RunTaskCancelled(task=1), RunCancelled()]
        assert kinds(*events, before=before) == ["workflow.cancelled", "workflow.status-changed cancelled"]

    def test_that_undoes_another_is_a_task(self) -> None:
        before = (*BEGUN, RunCompensationStarted(error=ERROR), RunTaskCompensating(task=5, of=1, started_at=NOON))
        undoing = task(5, "/do/0/a/metadata/compensate", kind="compensate")
        failed = RunCompensationFailed(task=5, of=1, attempt=1, error=ERROR)
        pointer = "/do/0/a/metadata/compensate"
        assert kinds(undoing, failed, before=before) == [
            f"task.{kind} {pointer}" for kind in ("created", "started", "faulted")
        ]


class TestCorrelation:
    def test_gathers_its_keys_from_all_events(self) -> None:
        first = RunEventConsumed(task=1, event_id="a", correlations={"petId": "x"})
        last = RunEventConsumed(task=1, event_id="b", correlations={"orderId": 7}, closed=True)
        [data] = [data for kind, data in told(listening(1), first, last) if kind == "workflow.correlation-completed"]
        assert data["correlationKeys"] == {"petId": "x", "orderId": 7}

    def test_is_complete_when_the_task_is_left_early(self) -> None:
        assert kinds(RunTaskCompleted(task=1), before=(*BEGUN, listening(1)))[:2] == [
            "workflow.correlation-completed",
            "task.completed /do/0/listen",
        ]

    def test_is_not_complete_when_the_task_is_given_up(self) -> None:
        assert kinds(RunTaskCancelled(task=1), before=(*BEGUN, listening(1)))[:1] == ["task.cancelled /do/0/listen"]


class TestAForkedRun:
    def test_creates_what_is_open_where_it_begins(self) -> None:
        root = {"task": 0, "parent": -1, "reference": "", "kind": "run", "prepared": True}
        loop = {"task": 1, "parent": 0, "reference": "/do/0/loop", "kind": "for", "prepared": True, "items": [1, 2]}
        state: dict[str, Any] = {"status": "running", "nodes": {"0": root, "1": loop}}
        forked = RunForked(**WORKFLOW, forked_from=Origin(run_id="r0", task=2), started_at=NOON, state=state)
        found = kinds(forked, RunTaskCompleted(task=1), before=())
        assert found == [
            "workflow.started",
            "task.created /do/0/loop",
            "task.started /do/0/loop",
            "workflow.status-changed running",
            "task.completed /do/0/loop",
        ]
