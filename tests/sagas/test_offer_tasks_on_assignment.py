"""What a worker is told of a task, and which ends of a task leave an offer behind."""

from datetime import UTC, datetime

import orjson
import pytest

from events.envelope import Envelope, Origin
from events.event import Event
from events.task import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskTimedOut,
)
from infra.patterns.work import Offer
from sagas.offer_tasks_on_assignment import OFFER_TASKS_ON_ASSIGNMENT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUESTED = TaskRequested(title="Sum up", capability="summarise", input={"text": "…"}, deadline_at=NOON)
ASSIGNED = TaskAssigned(agent_id="ada")
ENDS = (
    TaskCompleted(),
    TaskFailed(error="no"),
    TaskCancelled(),
    TaskTimedOut(deadline_at=NOON),
    TaskHandedOver(reason="too hard"),
)


def envelope(event: Event, version: int = 1, command_id: str = "c1") -> Envelope[Event]:
    metadata = orjson.dumps(Origin("acme", "user:ada", command_id, "request-1", "c1", "trace").metadata())
    return Envelope(version, f"e{version}", "acme", "task-t1", version, NOON, event, metadata)


def offer(*events: Event) -> Offer | None:
    return OFFER_TASKS_ON_ASSIGNMENT.offer([envelope(event, version) for version, event in enumerate(events, 1)])


class TestAnOffer:
    def test_is_for_the_agent_and_tells_all_of_the_task(self) -> None:
        assert offer(REQUESTED, ASSIGNED) == Offer(
            "ada",
            {
                "task_id": "t1",
                "tenant_id": "acme",
                "agent_id": "ada",
                "title": "Sum up",
                "capability": "summarise",
                "input": {"text": "…"},
                "requested_at": NOON,
                "deadline_at": NOON,
                "correlation_id": "request-1",
                "traceparent": "trace",
            },
        )

    def test_says_whether_the_task_was_begun(self) -> None:
        found = offer(REQUESTED, ASSIGNED, TaskStarted(agent_id="ada"))
        assert found is not None
        assert found.begun

    @pytest.mark.parametrize("end", ENDS)
    def test_is_not_made_of_a_task_that_has_ended(self, end: Event) -> None:
        assert offer(REQUESTED, ASSIGNED, TaskStarted(agent_id="ada"), end) is None


class TestAnEnd:
    @pytest.mark.parametrize("end", ENDS)
    def test_by_a_worker_leaves_nothing_to_take_back(self, end: Event) -> None:
        assert not OFFER_TASKS_ON_ASSIGNMENT.leaves_offer(envelope(end, 3, "t1/end"))

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("command_id", ["c1", "t2/end", "t1/3", "t1/hand-over"])
    def test_by_anyone_else_does(self, end: Event, command_id: str) -> None:
        assert OFFER_TASKS_ON_ASSIGNMENT.leaves_offer(envelope(end, 3, command_id))
