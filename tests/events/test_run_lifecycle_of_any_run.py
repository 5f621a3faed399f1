"""Whatever the definition: each task that is told of begins and ends once, and where a run stands is what the decider knows."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.envelope import Envelope
from events.event import Event
from events.lifecycle import (
    LifecycleEvent,
    OfTask,
    TaskCancelledEvent,
    TaskCompletedEvent,
    TaskCreatedEvent,
    TaskFaultedEvent,
    TaskRetriedEvent,
    TaskStatusChangedEvent,
    WorkflowStatusChangedEvent,
)
from events.run_lifecycle import RunLifecycle
from tests.sizes import examples
from tests.write_side.driven import RUN_ID, Driven
from tests.write_side.random_definitions import definitions
from tests.write_side.test_run_properties import can_be_stored
from write_side.run_commands import CancelRun, ResumeRun, RetryRun, SuspendRun

START = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = (TaskCompletedEvent, TaskFaultedEvent, TaskCancelledEvent)
PHASES = {
    "running": {"pending", "running", "waiting"},
    "failing": {"pending", "running", "waiting"},
    "cancelling": {"pending", "running", "waiting"},
    "compensating": {"running", "waiting"},
    "parked": {"running"},
    "completed": {"completed"},
    "faulted": {"faulted"},
    "cancelled": {"cancelled"},
    "compensated": {"faulted", "cancelled"},
}
BOUNDED = settings(
    deadline=None,
    max_examples=examples(30),
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
RUNS = st.builds(
    lambda definition, sends: Driven(definition, sends).start({"n": 2}),
    definitions().filter(can_be_stored),
    st.booleans(),
)
CUT = st.floats(0, 1, exclude_max=True)


def tell(run: RunLifecycle, events: list[Event], first: int = 1) -> list[LifecycleEvent]:
    told: list[LifecycleEvent] = []
    for at, event in enumerate(events, first):
        envelope: Envelope[Any] = Envelope(
            at, f"e{at}", "acme", f"run-{RUN_ID}", at, START + timedelta(seconds=at), event
        )
        told.extend(run.tell(envelope))
    return told


def check(run: Driven) -> None:
    """What is told agrees with what the decider knows."""
    told = tell(RunLifecycle(), list(run.events))
    begun = Counter(each.task for each in told if isinstance(each, TaskCreatedEvent))
    ended = Counter(each.task for each in told if isinstance(each, ENDS))
    status = [each.status for each in told if isinstance(each, WorkflowStatusChangedEvent)][-1]
    assert status in ({"suspended"} if run.state.suspended else PHASES[run.state.status])
    retried = any(isinstance(each, TaskRetriedEvent) for each in told)
    if status in ("completed", "cancelled") or (status == "faulted" and not retried):
        assert begun == ended
    elif not retried:
        nodes = [node for node in run.state.nodes.values() if node.kind != "document"]
        open_now = Counter(node.reference for node in nodes if node.task and node.phase != "faulted")
        closed = Counter(node.reference for node in nodes if node.kind == "compensate" and node.closed)
        assert begun - ended == open_now - closed
    changes = [each for each in told if isinstance(each, OfTask)]
    for now, following in pairwise(changes):
        if isinstance(now, ENDS):
            assert isinstance(following, TaskStatusChangedEvent)
            assert (following.task, following.status) == (now.task, now.kind.removeprefix("task."))


class TestALifecycle:
    @BOUNDED
    @for_any(RUNS)
    def test_agrees_with_the_run(self, run: Driven) -> None:
        check(run.rest())

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_agrees_with_the_run_after_any_event(self, run: Driven, share: float) -> None:
        run.rest()
        check(run.cut(1 + int(share * len(run.events))))

    @BOUNDED
    @for_any(RUNS, CUT, st.booleans())
    def test_agrees_with_a_run_that_is_paused_and_cancelled(self, run: Driven, share: float, compensate: bool) -> None:
        run.rest()
        other = run.cut(1 + int(share * len(run.events)))
        if other.tells(SuspendRun(run_id=RUN_ID)):
            check(other)
            other.send(ResumeRun(run_id=RUN_ID))
            check(other)
        if other.tells(CancelRun(run_id=RUN_ID, compensate=compensate)):
            check(other.rest())

    @BOUNDED
    @for_any(RUNS)
    def test_agrees_with_a_run_that_is_tried_again(self, run: Driven) -> None:
        run.rest()
        if run.tells(RetryRun(run_id=RUN_ID)):
            check(run.rest())

    @BOUNDED
    @for_any(RUNS, CUT)
    def test_is_the_same_wherever_it_is_taken_up_again(self, run: Driven, share: float) -> None:
        events = list(run.rest().events)
        at = int(share * len(events))
        whole, cut = RunLifecycle(), RunLifecycle()
        told = tell(whole, events)
        before = tell(cut, events[:at])
        again = cut.copy()
        after = tell(cut, events[at:], at + 1)
        assert [*before, *after] == told
        assert tell(again, events[at:], at + 1) == after
