"""Agents that runs ask, told as stories."""

import pytest

from events.run_parts import AgentTaskAwaited
from events.task import TaskCancelled, TaskCompleted, TaskFailed, TaskTimedOut
from infra.patterns.saga import Ask
from sagas.ask_agents_on_run_task import ASK_AGENTS_ON_RUN_TASK, NO_LONGER_WANTED, AskedAgents
from sagas.run_waits import Refused
from tests.sagas.run_stories import (
    NOON,
    STANDARD,
    answer,
    cancelled,
    error,
    fail,
    faulted,
    forked,
    node,
    prepared,
    task,
)
from write_side.task import CancelTask, RequestTask

WANTED = AgentTaskAwaited(task_id="r1.3", capability="book", title="Book it", input={"to": "Rome"}, timeout_s=60)
REQUEST = RequestTask(task_id="r1.3", capability="book", title="Book it", input={"to": "Rome"}, timeout_s=60)
ASKED = Ask(REQUEST, Refused("r1", 3))
CANCEL = CancelTask(task_id="r1.3", reason=NO_LONGER_WANTED)


@pytest.fixture
def agents(story):
    return story(ASK_AGENTS_ON_RUN_TASK)


@pytest.fixture
def asked(agents):
    return agents.given("run-r1", task(3, WANTED))


class TestATaskForAnAgent:
    def test_is_requested(self, asked):
        asked.then(ASKED)

    def test_is_requested_once_its_extension_is_done(self, agents):
        agents.given("run-r1", task(3, prepared=False)).then_nothing().given("run-r1", prepared(3, WANTED)).then(ASKED)

    def test_is_requested_for_a_forked_run(self, agents):
        agents.given("run-r1", forked(node(3, WANTED))).then(ASKED)

    def test_that_is_refused_fails_the_task_of_the_run(self, asked):
        refusal = asked.asked[0].refused("task-for-nobody", "name one")
        refused = error("configuration", 400, detail="name one (task-for-nobody)")
        assert refusal.model_dump(exclude={"at"}) == fail("r1", 3, refused).model_dump(exclude={"at"})

    def test_that_is_not_as_it_has_to_be_fails_the_task_of_the_run(self, agents):
        agents.given("run-r1", task(3, WANTED.model_copy(update={"timeout_s": -1.0})))
        (failed,) = agents.asked
        assert failed.error.type == STANDARD + "validation"
        assert failed.error.detail.startswith("with/timeout_s: ")
        assert agents.state == AskedAgents()


class TestWhatCameOfIt:
    def test_is_the_answer_when_it_is_done(self, asked):
        asked.given("task-r1.3", TaskCompleted(result={"seat": 4})).then(answer("r1", 3, {"seat": 4}))
        assert asked.state == AskedAgents()

    @pytest.mark.parametrize(
        ("end", "failed"),
        [
            (TaskFailed(error="no seat"), error("runtime", 500, detail="no seat")),
            (TaskTimedOut(deadline_at=NOON), error("timeout", 408, detail="the agent did not finish the task in time")),
            (TaskCancelled(reason="why"), error("runtime", 500, "The agent's task was cancelled", "why")),
        ],
    )
    def test_is_an_error_when_it_is_not(self, asked, end, failed):
        asked.given("task-r1.3", end).then(fail("r1", 3, failed))
        assert asked.state == AskedAgents()

    def test_is_nothing_to_runs_that_did_not_ask(self, asked):
        asked.given("task-other", TaskCompleted(result=1)).then_nothing()

    def test_is_told_to_each_run_that_asked(self, asked):
        asked.given("run-r2", task(3, WANTED.model_copy(update={"task_id": "r2.3"})))
        asked.given("task-r1.3", TaskCompleted(result=1)).then(answer("r1", 3, 1))
        asked.given("task-r2.3", TaskCompleted(result=2)).then(answer("r2", 3, 2))


class TestATaskThatWaitsNoMore:
    @pytest.mark.parametrize("end", [cancelled(3), faulted(3, "timeout")])
    def test_has_its_agent_told(self, asked, end):
        asked.given("run-r1", end).then(CANCEL)
        asked.given("task-r1.3", TaskCancelled()).then_nothing()
        assert asked.state == AskedAgents()

    def test_has_nobody_told_if_it_was_refused(self, asked):
        asked.given("run-r1", faulted(3, "configuration")).then_nothing()
        assert asked.state == AskedAgents()

    def test_has_nobody_told_if_it_had_its_answer(self, asked):
        asked.given("task-r1.3", TaskFailed(error="e")).given("run-r1", faulted(3, "runtime")).then_nothing()

    def test_is_not_mixed_up_with_others(self, asked):
        asked.given("run-r1", cancelled(4)).then_nothing().given("run-r2", cancelled(3)).then_nothing()
        asked.given("run-r1", cancelled(3)).then(CANCEL)

    def test_does_not_take_the_agent_from_the_one_that_asked_first(self, asked):
        asked.given("run-r2", task(5, WANTED)).given("run-r2", cancelled(5)).then_nothing()
        asked.given("task-r1.3", TaskCompleted(result=1)).then(answer("r1", 3, 1))
