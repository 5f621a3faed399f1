"""Decides who holds an agent's name, so that the log itself keeps a name in use unique in its tenant."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import assert_never, get_args

from events.agent_name import AgentNameClaimed, AgentNameEvent, AgentNameReleased
from events.event import Id, Name
from infra.errors import Rejection
from infra.patterns.decider import Command, Decider


class ClaimAgentName(Command):
    """Take the name for an agent."""

    public = False

    agent_name_id: Id
    name: Name
    agent_id: Id


class ReleaseAgentName(Command):
    """Give the name up; nothing happens if the agent does not hold it."""

    public = False

    agent_name_id: Id
    name: Name
    agent_id: Id


AgentNameCommand = ClaimAgentName | ReleaseAgentName


class AgentNameTaken(Rejection):
    """Another agent has this name."""


@dataclass(frozen=True, slots=True)
class AgentNameState:
    held_by: str | None = None


FREE = AgentNameState()


def agent_name_id(name: str) -> str:
    """What names have in common that differ only in case, outer blanks or the way accents are encoded."""
    folded = unicodedata.normalize("NFC", name.strip().casefold())
    return hashlib.sha256(folded.encode()).hexdigest()


def decide(command: AgentNameCommand, state: AgentNameState) -> list[AgentNameEvent]:
    match command:
        case ClaimAgentName(name=name, agent_id=agent_id):
            if state.held_by == agent_id:
                return []
            if state.held_by is not None:
                raise AgentNameTaken(f"another agent is named {name!r}", name=name, agent_id=state.held_by)
            return [AgentNameClaimed(name=name, agent_id=agent_id)]
        case ReleaseAgentName(name=name, agent_id=agent_id):
            return [AgentNameReleased(name=name, agent_id=agent_id)] if state.held_by == agent_id else []
        case _:
            assert_never(command)


def evolve(state: AgentNameState, event: AgentNameEvent) -> AgentNameState:
    match event:
        case AgentNameClaimed(agent_id=agent_id):
            return AgentNameState(held_by=agent_id)
        case AgentNameReleased():
            return FREE
        case _:
            assert_never(event)


AGENT_NAME = Decider("agent_name", get_args(AgentNameCommand), FREE, decide, evolve)
