"""What the specification's lifecycle events say: each type with its data, and which event of a run it follows from."""

from collections.abc import Sequence
from typing import Any

import pytest

from events.event import Event
from events.lifecycle import LIFECYCLE
from events.run import (
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunEventConsumed,
    RunFaulted,
    RunResumed,
    RunRetried,
    RunSuspended,
    RunTaskAnswered,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
    RunTaskSkipped,
)
from events.run_compensation import RunCompensated, RunCompensationStarted
from events.run_lifecycle import RunLifecycle
from events.run_parts import CallAwaited, EventsAwaited, TimerAwaited
from tests.events.told import (
    BEGUN,
    ERROR,
    NAME,
    NOON,
    RESERVE,
    STARTED,
    envelopes,
    kinds,
    listening,
    second,
    task,
    told,
)

OF_RUN: Sequence[tuple[str, Event, Sequence[Event], dict[str, Any]]] = [
    (
        "workflow.started",
        STARTED,
        (),
        {"definition": {"name": "book", "namespace": "travel", "version": "1.0.0"}, "startedAt": NOON},
    ),
    ("workflow.suspended", RunSuspended(), BEGUN, {"suspendedAt": second(3)}),
    ("workflow.resumed", RunResumed(), (*BEGUN, RunSuspended()), {"resumedAt": second(4)}),
    ("workflow.correlation-started", listening(1), BEGUN, {"startedAt": second(3)}),
    (
        "workflow.correlation-completed",
        RunEventConsumed(task=1, event_id="a", correlations={"petId": "x", "no": None}, closed=True),
        (*BEGUN, listening(1)),
        {"completedAt": second(4), "correlationKeys": {"petId": "x", "no": None}},
    ),
    (
        "workflow.correlation-completed",
        RunEventConsumed(task=1, event_id="a", closed=True),
        (*BEGUN, listening(1)),
        {"completedAt": second(4)},
    ),
    ("workflow.cancelled", RunCancelled(), BEGUN, {"cancelledAt": second(3)}),
    (
        "workflow.faulted",
        RunFaulted(error=ERROR),
        BEGUN,
        {"faultedAt": second(3), "error": {"type": ERROR.type, "status": 503, "title": "No"}},
    ),
    ("workflow.completed", RunCompleted(output=7), BEGUN, {"completedAt": second(3)}),
    ("workflow.status-changed", RunCompleted(output=7), BEGUN, {"updatedAt": second(3), "status": "completed"}),
]
OF_TASK: Sequence[tuple[str, Event, Sequence[Event], dict[str, Any]]] = [
    ("task.created", RESERVE, BEGUN, {"createdAt": NOON}),
    ("task.started", RESERVE, BEGUN, {"startedAt": NOON}),
    (
        "task.started",
        RunTaskPrepared(task=1),
        (*BEGUN, task(1, "/do/0/reserve", prepared=False)),
        {"startedAt": second(4)},
    ),
    ("task.suspended", RunSuspended(), (*BEGUN, RESERVE), {"suspendedAt": second(4)}),
    ("task.resumed", RunResumed(), (*BEGUN, RESERVE, RunSuspended()), {"resumedAt": second(5)}),
    ("task.retried", RunTaskRetried(task=1, attempt=1), (*BEGUN, RESERVE), {"retriedAt": second(4)}),
    ("task.cancelled", RunTaskCancelled(task=1), (*BEGUN, RESERVE), {"cancelledAt": second(4)}),
    (
        "task.faulted",
        RunTaskFaulted(task=1, error=ERROR),
        (*BEGUN, RESERVE),
        {"faultedAt": second(4), "error": {"type": ERROR.type, "status": 503, "title": "No"}},
    ),
    ("task.completed", RunTaskCompleted(task=1, output=7), (*BEGUN, RESERVE), {"completedAt": second(4)}),
    (
        "task.status-changed",
        RunTaskCompleted(task=1),
        (*BEGUN, RESERVE),
        {"updatedAt": second(4), "status": "completed"},
    ),
]


class TestALifecycleEvent:
    @pytest.mark.parametrize(("kind", "event", "before", "data"), OF_RUN)
    def test_of_a_run_has_exactly_the_data_of_the_reference(
        self, kind: str, event: Event, before: Sequence[Event], data: dict[str, Any]
    ) -> None:
        assert [found for each, found in told(event, before=before) if each == kind] == [{"name": NAME, **data}]

    @pytest.mark.parametrize(("kind", "event", "before", "data"), OF_TASK)
    def test_of_a_task_has_exactly_the_data_of_the_reference(
        self, kind: str, event: Event, before: Sequence[Event], data: dict[str, Any]
    ) -> None:
        expected = {"workflow": NAME, "task": "/do/0/reserve", **data}
        assert [found for each, found in told(event, before=before) if each == kind] == [expected]

    def test_has_a_case_for_each_type(self) -> None:
        assert {kind for kind, *_ in (*OF_RUN, *OF_TASK)} == {
            event.type[len("io.serverlessworkflow.") : -len(".v1")] for event in LIFECYCLE
        }

    def test_is_written_as_the_reference_writes_it(self) -> None:
        [started, _] = RunLifecycle().tell(envelopes([STARTED])[0])
        definition = b'{"name":"book","namespace":"travel","version":"1.0.0"}'
        text = b'{"name":"book-r1.travel","definition":%b,"startedAt":"2026-01-01T12:00:00Z"}' % definition
        assert (started.type, started.to_json()) == ("io.serverlessworkflow.workflow.started.v1", text)


class TestTheStatusOfARun:
    @pytest.mark.parametrize(
        ("events", "status"),
        [
            ([STARTED], "pending"),
            ([*BEGUN], "running"),
            ([*BEGUN, task(1, "/do/0/a", awaits=CallAwaited(function="http"))], "running"),
            ([*BEGUN, task(1, "/do/0/a", kind="wait", awaits=TimerAwaited(until=NOON))], "waiting"),
            ([*BEGUN, listening(1)], "waiting"),
            ([*BEGUN, listening(1), RunEventConsumed(task=1, event_id="a")], "waiting"),
            ([*BEGUN, listening(1), RunEventConsumed(task=1, event_id="a", closed=True)], "running"),
            ([*BEGUN, listening(1), task(2, "/do/0/listen/foreach/do/0/a", 1)], "running"),
            (
                [*BEGUN, task(1, "/do/0/a", kind="wait", awaits=TimerAwaited(until=NOON)), RunTaskAnswered(task=1)],
                "running",
            ),
            ([*BEGUN, listening(1), RunSuspended()], "suspended"),
            ([*BEGUN, listening(1), RunSuspended(), RunResumed()], "waiting"),
            ([*BEGUN, RunSuspended(), RunCancelRequested(compensate=False), RunCancelled()], "cancelled"),
            ([*BEGUN, RunFaulted(error=ERROR)], "faulted"),
            ([*BEGUN, RunFaulted(error=ERROR), RunRetried()], "running"),
            ([*BEGUN, RunCompleted()], "completed"),
            ([*BEGUN, RunCompensationStarted(error=ERROR)], "running"),
            ([*BEGUN, RunCompensationStarted(error=ERROR), RunCompensated(error=ERROR)], "faulted"),
            ([*BEGUN, RunCompensationStarted(), RunCompensated()], "cancelled"),
            ([*BEGUN, RunCompleted(), RunCompensationStarted(), RunCompensated()], "completed"),
        ],
    )
    def test_is_a_phase_of_the_specification(self, events: Sequence[Event], status: str) -> None:
        found = [data["status"] for kind, data in told(*events, before=()) if kind == "workflow.status-changed"]
        assert found[-1] == status

    def test_is_told_when_it_changes_only(self) -> None:
        assert kinds(RunTaskCompleted(task=1), task(2, "/do/1/next"), before=(*BEGUN, RESERVE)) == [
            "task.completed /do/0/reserve",
            "task.created /do/1/next",
            "task.started /do/1/next",
        ]

    def test_waits_once_all_branches_of_a_fork_do(self) -> None:
        fork = task(1, "/do/0/both", kind="fork", items=["a", "b"])
        first = task(2, "/do/0/both/fork/branches/0/a", 1, kind="listen", awaits=EventsAwaited())
        other = task(3, "/do/0/both/fork/branches/1/b", 1, kind="listen", awaits=EventsAwaited())
        assert "workflow.status-changed waiting" not in kinds(fork, first)
        assert kinds(other, before=(*BEGUN, fork, first))[-1] == "workflow.status-changed waiting"
        skipped = RunTaskSkipped(task=3, parent=1, reference=other.reference, name="b")
        assert kinds(skipped, before=(*BEGUN, fork, first)) == ["workflow.status-changed waiting"]


class TestTheStatusOfATask:
    def test_goes_from_pending_over_running_and_waiting_to_its_end(self) -> None:
        events = [
            task(1, "/do/0/a", kind="wait", prepared=False),
            RunTaskPrepared(task=1, awaits=TimerAwaited(until=NOON)),
            RunSuspended(),
            RunTaskAnswered(task=1),
            RunResumed(),
            RunTaskCompleted(task=1),
        ]
        found = [data["status"] for kind, data in told(*events) if kind == "task.status-changed"]
        assert found == ["pending", "waiting", "suspended", "running", "completed"]
