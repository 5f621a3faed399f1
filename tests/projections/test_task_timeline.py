"""The task timeline."""

import pytest

from events.task import (
    MessageStep,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskStepRecorded,
    TaskTimedOut,
    TaskUsageRecorded,
    ToolCallStep,
)
from projections.task_timeline import TASK_TIMELINE

REQUESTED = TaskRequested(title="t", agent_id="a1", input={"q": 1})
SAID = TaskStepRecorded(step=MessageStep(kind="message", role="assistant", content="hello"))


@pytest.fixture
def timeline(read_model):
    return read_model(TASK_TIMELINE)


class TestTheTaskTimeline:
    def test_has_a_row_for_each_event_of_each_task_of_each_tenant(self, timeline):
        timeline.given("acme", "task-t1", REQUESTED, SAID).given("acme", "task-t2", REQUESTED)
        timeline.given("other", "task-t1", REQUESTED).given("acme", "task-t1", SAID)
        assert list(timeline.rows) == [
            ("acme", "t1", 1),
            ("acme", "t1", 2),
            ("acme", "t2", 1),
            ("other", "t1", 1),
            ("acme", "t1", 3),
        ]
        assert [row.position for row in timeline.rows.values()] == [1, 2, 3, 4, 5]

    def test_shows_when_and_what(self, timeline):
        timeline.given("acme", "task-t1", REQUESTED, TaskStarted(agent_id="a1"))
        timeline.then("acme", "t1", 2, at=timeline.at(2), type="task.started", agent_id="a1", kind=None, detail=None)

    def test_shows_a_message(self, timeline):
        timeline.given("acme", "task-t1", SAID)
        timeline.then("acme", "t1", 1, kind="message", role="assistant", content="hello", tool=None)

    def test_shows_a_tool_call_with_what_came_back(self, timeline):
        call = ToolCallStep(kind="tool_call", tool="search", call_id="c1", arguments={"q": "x"}, reply="r", error="e")
        timeline.given("acme", "task-t1", TaskStepRecorded(step=call))
        timeline.then("acme", "t1", 1, kind="tool_call", tool="search", call_id="c1", arguments={"q": "x"})
        timeline.then("acme", "t1", 1, reply="r", error="e", role=None)

    def test_shows_what_a_model_used(self, timeline):
        timeline.given("acme", "task-t1", TaskUsageRecorded(model="m", tokens_in=1, tokens_out=2))
        timeline.then("acme", "t1", 1, model="m", tokens_in=1, tokens_out=2)

    @pytest.mark.parametrize(
        ("event", "columns"),
        [
            (TaskAssigned(agent_id="a1"), {"agent_id": "a1", "detail": None}),
            (TaskFailed(error="e"), {"error": "e"}),
            (TaskHandedOver(reason="r"), {"detail": {"reason": "r", "to": "human"}}),
            (TaskCompleted(result=[1]), {"detail": {"result": [1]}}),
            (TaskCancelled(reason="r"), {"detail": {"reason": "r"}}),
        ],
    )
    def test_shows_what_else_happened(self, timeline, event, columns):
        timeline.given("acme", "task-t1", event).then("acme", "t1", 1, type=event.type, **columns)

    def test_shows_what_was_asked_for_and_until_when(self, timeline):
        timeline.given("acme", "task-t1", REQUESTED, TaskTimedOut(deadline_at=timeline.at(9)))
        asked = {"title": "t", "capability": None, "input": {"q": 1}, "deadline_at": None}
        timeline.then("acme", "t1", 1, agent_id="a1", detail=asked)
        timeline.then("acme", "t1", 2, detail={"deadline_at": "2026-01-01T00:00:09Z"})
