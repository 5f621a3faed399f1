"""Assigns a task asked for by capability to the started agent that has it and the fewest open tasks.

A task for which there is no such agent waits, in order, until there is one. An assignment that is refused makes no
event. But it can only be refused because the task or the agent has moved on, and that is an event: a task meant for an
agent that stops, is deleted or loses the capability before `task.assigned` is meant for another one then, or waits.

What an agent had when it was deleted fails: nobody else does it, and whoever waits for it shall know.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from events.agent import (
    AgentCapabilitiesUpdated,
    AgentCreated,
    AgentDeleted,
    AgentEvent,
    AgentStarted,
    AgentStopped,
)
from events.envelope import Envelope
from events.task import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskTimedOut,
)
from infra.patterns.saga import Saga
from write_side.task import AssignTask, FailTask

AGENT_DELETED = "The agent that had the task was deleted."


class Agent(BaseModel):
    """An agent that has not been deleted; `tasks_open` counts what it was given and what is meant for it."""

    capabilities: list[str]
    started: bool = False
    tasks_open: int = 0

    def suits(self, capability: str) -> bool:
        return self.started and capability in self.capabilities


class WaitingTask(BaseModel):
    """A task that no agent has yet, requested at `position`; meant for `agent_id` while an AssignTask is under way."""

    capability: str
    position: int
    agent_id: str | None = None


class Assignments(BaseModel):
    """The agents, the tasks that wait, and which agent has each of those that are worked on."""

    agents: dict[str, Agent] = {}
    waiting: dict[str, WaitingTask] = {}
    given: dict[str, str] = {}


def react(envelope: Envelope[TaskEvent | AgentEvent], state: Assignments) -> Sequence[AssignTask | FailTask]:
    entity_id = envelope.entity_id
    match envelope.event:
        case TaskRequested(capability=str(capability)):
            state.waiting[entity_id] = WaitingTask(capability=capability, position=envelope.position)
            return _assign(state, [entity_id])
        case TaskAssigned(agent_id=agent_id):
            _take_away(state, entity_id)
            state.given[entity_id] = agent_id
            _count(state, agent_id, 1)
        case TaskCompleted() | TaskFailed() | TaskCancelled() | TaskTimedOut() | TaskHandedOver():
            _take_away(state, entity_id)
        case AgentCreated(capabilities=capabilities):
            state.agents[entity_id] = Agent(capabilities=list(capabilities))
        case AgentStarted() | AgentStopped() | AgentCapabilitiesUpdated() | AgentDeleted() as event:
            return _on_agent_changed(event, entity_id, state)
        case _:
            pass
    return []


def _on_agent_changed(
    event: AgentStarted | AgentStopped | AgentCapabilitiesUpdated | AgentDeleted, agent_id: str, state: Assignments
) -> list[AssignTask | FailTask]:
    agent = state.agents.get(agent_id)
    if agent is None:
        return []
    failed: list[str] = []
    match event:
        case AgentStarted():
            agent.started = True
        case AgentCapabilitiesUpdated(capabilities=capabilities):
            agent.capabilities = list(capabilities)
        case AgentStopped():
            agent.started = False
        case AgentDeleted():
            agent.started = False
            del state.agents[agent_id]
            failed = sorted(task_id for task_id, given_to in state.given.items() if given_to == agent_id)
    seeking: list[str] = []
    for task_id, task in state.waiting.items():
        suited = agent.suits(task.capability)
        if task.agent_id == agent_id and not suited:
            task.agent_id = None
            agent.tasks_open -= 1
            seeking.append(task_id)
        elif task.agent_id is None and suited:
            seeking.append(task_id)
    return [*(FailTask(task_id=task_id, error=AGENT_DELETED) for task_id in failed), *_assign(state, seeking)]


def _assign(state: Assignments, task_ids: list[str]) -> list[AssignTask]:
    commands: list[AssignTask] = []
    for task_id in sorted(task_ids, key=lambda task_id: state.waiting[task_id].position):
        task = state.waiting[task_id]
        task.agent_id = _least_busy(state, task.capability)
        if task.agent_id is not None:
            _count(state, task.agent_id, 1)
            commands.append(AssignTask(task_id=task_id, agent_id=task.agent_id))
    return commands


def _least_busy(state: Assignments, capability: str) -> str | None:
    suiting = ((agent.tasks_open, agent_id) for agent_id, agent in state.agents.items() if agent.suits(capability))
    return min(suiting, default=(0, None))[1]


def _take_away(state: Assignments, task_id: str) -> None:
    """Count the task no longer as that of the agent that had it or was meant to."""
    task = state.waiting.pop(task_id, None)
    agent_id = state.given.pop(task_id, None) if task is None else task.agent_id
    if agent_id is not None:
        _count(state, agent_id, -1)


def _count(state: Assignments, agent_id: str, tasks: int) -> None:
    if agent_id in state.agents:
        state.agents[agent_id].tasks_open += tasks


ASSIGN_TASKS_ON_REQUEST = Saga(
    name="assign_tasks_on_request",
    version=1,
    state=Assignments,
    handles=(
        TaskRequested,
        TaskAssigned,
        TaskCompleted,
        TaskFailed,
        TaskCancelled,
        TaskTimedOut,
        TaskHandedOver,
        AgentCreated,
        AgentStarted,
        AgentStopped,
        AgentCapabilitiesUpdated,
        AgentDeleted,
    ),
    react=react,
)
