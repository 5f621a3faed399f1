"""Tasks asked for by capability: told as stories, and against the real deciders in any order."""

from random import Random

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from events.agent import (
    AgentCapabilitiesUpdated,
    AgentCreated,
    AgentDeleted,
    AgentStarted,
    AgentStopped,
)
from events.envelope import Envelope
from events.task import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskTimedOut,
)
from infra.ids import utc_now
from sagas.assign_tasks_on_request import AGENT_DELETED, ASSIGN_TASKS_ON_REQUEST, Agent, Assignments
from tests.sizes import examples
from write_side.agent import CreateAgent, DeleteAgent, StartAgent, StopAgent, UpdateAgentCapabilities
from write_side.task import AssignTask, CancelTask, CompleteTask, FailTask, RequestTask, StartTask

REQUESTED = TaskRequested(title="t", capability="french")
CAPABILITIES = ["french", "german", "sums"]


def agent(*capabilities):
    return AgentCreated(name="a", agent_type="reactive", capabilities=capabilities)


def assign(task_id, agent_id):
    return AssignTask(task_id=task_id, agent_id=agent_id)


def failed(task_id):
    return FailTask(task_id=task_id, error=AGENT_DELETED)


def assigned(agent_id):
    return TaskAssigned(agent_id=agent_id)


@pytest.fixture
def tasks(story):
    return story(ASSIGN_TASKS_ON_REQUEST)


@pytest.fixture
def with_two(tasks):
    return tasks.given("agent-a1", agent("french"), AgentStarted()).given("agent-a2", agent("french"), AgentStarted())


class TestATaskForACapability:
    def test_goes_to_a_started_agent_that_has_it(self, tasks):
        tasks.given("agent-a1", agent("german"), AgentStarted()).given("agent-a2", agent("french"))
        tasks.given("agent-a3", agent("sums", "french"), AgentStarted())
        tasks.given("task-t1", REQUESTED).then(assign("t1", "a3"))

    def test_goes_to_the_agent_with_the_fewest_open_tasks(self, with_two):
        with_two.given("task-t1", REQUESTED).then(assign("t1", "a1"))
        with_two.given("task-t2", REQUESTED).then(assign("t2", "a2"))
        with_two.given("task-t1", assigned("a1")).given("task-t2", assigned("a2"))
        with_two.given("task-t2", TaskCompleted()).given("task-t3", REQUESTED).then(assign("t3", "a2"))

    def test_counts_the_tasks_that_an_agent_was_asked_for_by_name(self, with_two):
        with_two.given("task-t1", TaskRequested(title="t", agent_id="a1"), assigned("a1")).then_nothing()
        with_two.given("task-t2", REQUESTED).then(assign("t2", "a2"))

    @pytest.mark.parametrize(
        "end",
        [
            TaskCompleted(),
            TaskFailed(error="e"),
            TaskCancelled(),
            TaskTimedOut(deadline_at=utc_now()),
            TaskHandedOver(reason="too hard"),
        ],
    )
    def test_is_open_until_the_agent_is_through_with_it(self, with_two, end):
        with_two.given("task-t1", REQUESTED, assigned("a1"), end)
        with_two.given("task-t2", REQUESTED).then(assign("t2", "a1"))

    def test_is_counted_once_when_it_ends_after_it_was_handed_over(self, with_two):
        with_two.given("task-t1", REQUESTED, assigned("a1"), TaskHandedOver(reason="too hard"), TaskCompleted())
        assert [agent.tasks_open for agent in with_two.state.agents.values()] == [0, 0]
        assert not with_two.state.given

    def test_waits_in_order_until_there_is_an_agent(self, tasks):
        tasks.given("task-t1", REQUESTED).given("task-t2", REQUESTED).then_nothing()
        tasks.given("task-t3", TaskRequested(title="t", capability="sums")).then_nothing()
        tasks.given("agent-a1", agent("french")).then_nothing()
        tasks.given("agent-a1", AgentStarted()).then(assign("t1", "a1"), assign("t2", "a1"))

    def test_is_taken_by_an_agent_that_learns_to(self, tasks):
        tasks.given("agent-a1", agent("german"), AgentStarted()).given("task-t1", REQUESTED).then_nothing()
        tasks.given("agent-a1", AgentCapabilitiesUpdated(capabilities=("french",))).then(assign("t1", "a1"))

    def test_is_no_longer_assigned_when_it_was_cancelled_before(self, tasks):
        tasks.given("task-t1", REQUESTED, TaskCancelled())
        tasks.given("agent-a1", agent("french"), AgentStarted()).then_nothing()

    def test_stays_with_the_agent_to_which_someone_else_assigned_it(self, with_two):
        with_two.given("task-t1", REQUESTED).then(assign("t1", "a1"))
        with_two.given("task-t1", assigned("a2")).then_nothing()
        with_two.given("task-t2", REQUESTED).then(assign("t2", "a1"))


class TestAnAgentThatIsLostBeforeItWasAssignedTheTask:
    @pytest.mark.parametrize(
        "lost", [AgentStopped(), AgentDeleted(name="a"), AgentCapabilitiesUpdated(capabilities=("german",))]
    )
    def test_leaves_the_task_to_another(self, with_two, lost):
        with_two.given("task-t1", REQUESTED).then(assign("t1", "a1"))
        with_two.given("agent-a1", lost).then(assign("t1", "a2"))

    def test_gets_it_when_it_is_back_and_there_was_no_other(self, tasks):
        tasks.given("agent-a1", agent("french"), AgentStarted()).given("task-t1", REQUESTED).then(assign("t1", "a1"))
        tasks.given("agent-a1", AgentStopped()).then_nothing()
        tasks.given("agent-a1", AgentStarted()).then(assign("t1", "a1"))

    def test_keeps_what_it_had_been_assigned(self, with_two):
        with_two.given("task-t1", REQUESTED, assigned("a1")).given("agent-a1", AgentStopped()).then_nothing()


class TestAnAgentThatIsDeleted:
    def test_leaves_no_task_open_that_it_had(self, with_two):
        with_two.given("task-t1", REQUESTED, assigned("a1"))
        with_two.given("task-t2", REQUESTED, assigned("a2")).given("task-t3", REQUESTED, assigned("a1"))
        with_two.given("agent-a1", AgentDeleted(name="a")).then(failed("t1"), failed("t3"))

    @pytest.mark.parametrize("order", [("t10", "t5"), ("t5", "t10")])
    def test_fails_in_one_order_whatever_the_state_was_read_from(self, order):
        # A snapshot keeps no order of keys; the number of a command in its event's answer is part of its id.
        state = Assignments(agents={"a1": Agent(capabilities=[])}, given=dict.fromkeys(order, "a1"))
        envelope = Envelope(9, "e9", "acme", "agent-a1", 3, utc_now(), AgentDeleted(name="a"), b"{}")
        asked = ASSIGN_TASKS_ON_REQUEST.react(envelope, state)
        assert asked == [failed("t10"), failed("t5")]

    def test_leaves_to_people_what_it_handed_over(self, with_two):
        with_two.given("task-t1", REQUESTED, assigned("a1"), TaskHandedOver(reason="too hard"))
        with_two.given("agent-a1", AgentDeleted(name="a")).then_nothing()


class TestAssignmentInAnyOrder:
    @settings(max_examples=examples(20), deadline=None)
    @for_any(seed=st.integers(0, 2**32), steps=st.integers(20, 300))
    def test_no_task_is_left_for_which_there_is_an_agent_and_the_counts_are_true(self, world, seed, steps):
        random = Random(seed)
        town = world(ASSIGN_TASKS_ON_REQUEST)
        for number in range(4):
            create = CreateAgent(
                agent_id=f"a{number}", name=f"a{number}", agent_type="reactive", capabilities=("sums",)
            )
            town.send(create)
        for _ in range(steps):
            random.choice([lambda: town.follow(random), lambda: town.arrive(random), lambda: act(town, random)])()
        town.come_to_rest(random)
        agents = {agent_id: town.state_of(f"agent-{agent_id}") for agent_id in town.streams("agent")}
        tasks = [town.state_of(f"task-{task_id}") for task_id in town.streams("task")]
        can_do = {capability for a in agents.values() if a.status == "started" for capability in a.capabilities}
        assert not [task for task in tasks if task.status == "requested" and task.capability in can_do]
        at_work = [task for task in tasks if task.status in ("assigned", "running")]
        assert not [task for task in at_work if agents[task.agent_id].status == "deleted"]
        for agent_id, memory in town.memory[ASSIGN_TASKS_ON_REQUEST.name].agents.items():
            assert memory.tasks_open == len([task for task in at_work if task.agent_id == agent_id])


def act(town, random):
    """Somebody does something with an agent or a task."""
    agent_id = random.choice(town.streams("agent"))
    tasks = town.streams("task")
    task_id = random.choice(tasks) if tasks else "t0"
    known = tuple(random.sample(CAPABILITIES, random.randint(1, 3)))
    ask = RequestTask(task_id=f"t{len(tasks)}", title="t", capability=random.choice(CAPABILITIES), at=utc_now())
    by_name = RequestTask(task_id=f"t{len(tasks)}", title="t", agent_id=agent_id, at=utc_now())
    town.send(
        random.choice(
            [
                *[ask] * 4,
                by_name,
                *[StartAgent(agent_id=agent_id)] * 3,
                StopAgent(agent_id=agent_id),
                UpdateAgentCapabilities(agent_id=agent_id, capabilities=known),
                *([DeleteAgent(agent_id=agent_id)] if random.random() < 0.1 else []),
                StartTask(task_id=task_id),
                CompleteTask(task_id=task_id),
                CancelTask(task_id=task_id),
                AssignTask(task_id=task_id, agent_id=agent_id),
            ]
        )
    )
