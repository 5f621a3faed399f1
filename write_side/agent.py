"""Decides what may be done with an agent: register, change, start, stop and delete it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from pydantic import Field, TypeAdapter

from events.agent import (
    AgentCapabilitiesUpdated,
    AgentConfig,
    AgentCreated,
    AgentDeleted,
    AgentEvent,
    AgentStarted,
    AgentStopped,
    AgentType,
    AgentUpdated,
    Capabilities,
)
from events.event import Id, Name, Reason
from infra.errors import NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command, Decider, StateForm
from write_side.agent_name import ClaimAgentName, ReleaseAgentName, agent_name_id


class CreateAgent(Command):
    """Register an agent under a name that no other agent of the tenant has."""

    creates = True

    agent_id: Id = Field(default_factory=new_id)
    name: Name
    agent_type: AgentType
    capabilities: Capabilities = ()
    config: AgentConfig = AgentConfig()


class UpdateAgent(Command):
    """Change the name, the type or the whole configuration; what is left out stays as it is."""

    agent_id: Id
    name: Name | None = None
    agent_type: AgentType | None = None
    config: AgentConfig | None = None


class UpdateAgentCapabilities(Command):
    """Replace the capabilities."""

    agent_id: Id
    capabilities: Capabilities


class StartAgent(Command):
    """Let the agent take tasks."""

    agent_id: Id


class StopAgent(Command):
    """Let the agent take no further tasks."""

    agent_id: Id
    reason: Reason | None = None


class DeleteAgent(Command):
    """Retire the agent for good and free its name."""

    agent_id: Id


AgentCommand = CreateAgent | UpdateAgent | UpdateAgentCapabilities | StartAgent | StopAgent | DeleteAgent


class AgentUnknown(NotFound):
    """There is no such agent."""


class AgentAlreadyExists(Rejection):
    """There is an agent with this id already."""


class AgentAlreadyDeleted(Rejection):
    """The agent has been deleted."""


class AgentUnchanged(Rejection):
    """The agent is as asked for already."""


class AgentAlreadyStarted(Rejection):
    """The agent is started already."""


class AgentNotStarted(Rejection):
    """The agent is not started."""


class AgentLacksCapability(Rejection):
    """The agent does not have the capability that the task asks for."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """`config` is left out: it may be large, and no decision depends on it."""

    status: Literal["unknown", "created", "started", "stopped", "deleted"] = "unknown"
    name: str = ""
    agent_type: AgentType = "conversational"
    capabilities: tuple[str, ...] = ()


UNKNOWN = AgentState()
FORM = StateForm(1, TypeAdapter(AgentState))


def decide(command: AgentCommand, state: AgentState) -> list[AgentEvent]:
    if isinstance(command, CreateAgent):
        return _create(command, state)
    require_present(command.agent_id, state)
    match command:
        case StartAgent():
            if state.status == "started":
                raise AgentAlreadyStarted
            return [AgentStarted()]
        case StopAgent(reason=reason):
            if state.status != "started":
                raise AgentNotStarted
            return [AgentStopped(reason=reason)]
        case UpdateAgent():
            return _update(command, state)
        case UpdateAgentCapabilities(capabilities=capabilities):
            if set(capabilities) == set(state.capabilities):
                raise AgentUnchanged
            return [AgentCapabilitiesUpdated(capabilities=capabilities)]
        case DeleteAgent():
            return [AgentDeleted(name=state.name)]
        case _:
            assert_never(command)


def require_present(agent_id: str, state: AgentState) -> None:
    """Refuse an agent that never was or no longer is; tasks ask this too."""
    if state.status == "unknown":
        raise AgentUnknown(f"there is no agent {agent_id}", agent_id=agent_id)
    if state.status == "deleted":
        raise AgentAlreadyDeleted(f"agent {agent_id} has been deleted", agent_id=agent_id)


def require_able(agent_id: str, state: AgentState, capability: str | None) -> None:
    """Refuse an agent that cannot be given a task which any agent with this capability may do."""
    require_present(agent_id, state)
    if state.status != "started":
        raise AgentNotStarted
    if capability not in state.capabilities:
        raise AgentLacksCapability(f"agent {agent_id} lacks the capability {capability!r}", capability=capability)


def _create(command: CreateAgent, state: AgentState) -> list[AgentEvent]:
    if state.status != "unknown":
        raise AgentAlreadyExists(f"there is an agent {command.agent_id} already", agent_id=command.agent_id)
    return [
        AgentCreated(
            name=command.name,
            agent_type=command.agent_type,
            capabilities=command.capabilities,
            config=command.config,
        )
    ]


def _update(command: UpdateAgent, state: AgentState) -> list[AgentEvent]:
    name = command.name if command.name != state.name else None
    agent_type = command.agent_type if command.agent_type != state.agent_type else None
    if name is None and agent_type is None and command.config is None:
        raise AgentUnchanged
    return [AgentUpdated(name=name, agent_type=agent_type, config=command.config)]


def companions(command: AgentCommand, state: AgentState) -> Sequence[Command]:
    """Names change hands in the same append as the agent changes."""
    match command:
        case CreateAgent(agent_id=agent_id, name=name):
            return [ClaimAgentName(agent_name_id=agent_name_id(name), name=name, agent_id=agent_id)]
        case UpdateAgent(agent_id=agent_id, name=str(name)) if state.name:
            new, old = agent_name_id(name), agent_name_id(state.name)
            if new == old:
                return ()
            return [
                ClaimAgentName(agent_name_id=new, name=name, agent_id=agent_id),
                ReleaseAgentName(agent_name_id=old, name=state.name, agent_id=agent_id),
            ]
        case DeleteAgent(agent_id=agent_id) if state.name:
            return [ReleaseAgentName(agent_name_id=agent_name_id(state.name), name=state.name, agent_id=agent_id)]
        case _:
            return ()


def evolve(state: AgentState, event: AgentEvent) -> AgentState:
    match event:
        case AgentStarted():
            return AgentState("started", state.name, state.agent_type, state.capabilities)
        case AgentStopped():
            return AgentState("stopped", state.name, state.agent_type, state.capabilities)
        case AgentCreated(name=name, agent_type=agent_type, capabilities=capabilities):
            return AgentState("created", name, agent_type, capabilities)
        case AgentUpdated(name=name, agent_type=agent_type):
            return AgentState(state.status, name or state.name, agent_type or state.agent_type, state.capabilities)
        case AgentCapabilitiesUpdated(capabilities=capabilities):
            return AgentState(state.status, state.name, state.agent_type, capabilities)
        case AgentDeleted():
            return AgentState("deleted")
        case _:
            assert_never(event)


AGENT = Decider("agent", get_args(AgentCommand), UNKNOWN, decide, evolve, companions, snapshots=FORM)
