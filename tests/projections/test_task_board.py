"""The task board."""

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
from projections.task_board import TASK_BOARD


def begun(agent_id="a1"):
    return [
        TaskRequested(title="t", agent_id=agent_id),
        TaskAssigned(agent_id=agent_id),
        TaskStarted(agent_id=agent_id),
    ]


def said(content="hello"):
    return TaskStepRecorded(step=MessageStep(kind="message", role="user", content=content))


def called(**answer):
    return TaskStepRecorded(step=ToolCallStep(kind="tool_call", tool="search", arguments={"q": [1, None]}, **answer))


@pytest.fixture
def board(read_model):
    return read_model(TASK_BOARD)


class TestTheTaskBoard:
    def test_keeps_tenants_and_tasks_apart(self, board):
        board.given("acme", "task-t1", *begun("a1")).given("acme", "task-t2", *begun("a2"))
        board.given("other", "task-t1", *begun("a3"))
        board.given("acme", "task-t1", said(), said()).given("other", "task-t1", said(), TaskCompleted())
        board.then("acme", "t1", messages=2, agent_id="a1", status="running", version=5, position=11)
        board.then("acme", "t2", messages=0, agent_id="a2", status="running", version=3, position=6)
        board.then("other", "t1", messages=1, agent_id="a3", status="completed", version=5, position=13)

    def test_shows_what_was_asked_for(self, board):
        board.given("acme", "task-t1", TaskRequested(title="t", capability="sums", deadline_at=board.at(99)))
        board.then("acme", "t1", title="t", status="requested", agent_id=None, capability="sums")
        board.then("acme", "t1", deadline_at=board.at(99), requested_at=board.at(1), started_at=None)

    def test_follows_a_task_to_work(self, board):
        board.given("acme", "task-t1", *begun()[:2]).then("acme", "t1", status="assigned", agent_id="a1")
        board.given("acme", "task-t1", begun()[2]).then("acme", "t1", status="running", started_at=board.at(3))
        board.given("acme", "task-t1", TaskHandedOver(reason="r")).then(
            "acme", "t1", status="handed_over", ended_at=None
        )

    def test_counts_steps_by_what_they_were(self, board):
        board.given("acme", "task-t1", *begun(), said(), called(), called(reply=""), called(error="e"), said(None))
        board.then("acme", "t1", messages=2, tool_calls=3, tool_replies=1, tool_errors=1)

    def test_adds_up_tokens(self, board):
        used = TaskUsageRecorded(model="m", tokens_in=10, tokens_out=3)
        board.given("acme", "task-t1", *begun(), used, used).then("acme", "t1", tokens_in=20, tokens_out=6)

    @pytest.mark.parametrize(
        ("end", "columns"),
        [
            (TaskCompleted(result={"a": [1, None]}), {"status": "completed", "result": {"a": [1, None]}}),
            (TaskFailed(error="e"), {"status": "failed", "error": "e"}),
            (TaskCancelled(reason="r"), {"status": "cancelled"}),
        ],
    )
    def test_shows_how_a_task_ended(self, board, end, columns):
        board.given("acme", "task-t1", *begun(), end)
        board.then("acme", "t1", **columns, ended_at=board.at(4), version=4)

    def test_shows_that_a_task_timed_out(self, board):
        board.given("acme", "task-t1", *begun(), TaskTimedOut(deadline_at=board.at(4)))
        board.then("acme", "t1", status="timed_out", ended_at=board.at(4))
