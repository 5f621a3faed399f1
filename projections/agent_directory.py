"""The agent directory: every agent with what it can do, how it is set up and whether it takes tasks."""

from datetime import datetime
from typing import Literal, get_args

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
)
from events.envelope import Envelope
from infra.patterns.projection import Key, Projection, Row

AgentStatus = Literal["created", "started", "stopped", "deleted"]


class AgentRow(Row):
    """An agent as it is now; a deleted one stays, with the name that it had."""

    tenant_id: str
    agent_id: str
    name: str
    agent_type: AgentType
    capabilities: tuple[str, ...]
    config: AgentConfig
    status: AgentStatus
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


def locate(envelope: Envelope[AgentEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[AgentEvent], row: AgentRow | None) -> AgentRow | None:
    event = envelope.event
    if isinstance(event, AgentCreated):
        return _created(envelope, event)
    if row is None:
        return row
    changes = _changes(event)
    changes["updated_at"] = envelope.occurred_at
    changes["version"] = envelope.stream_version
    changes["position"] = envelope.position
    return row.model_copy(update=changes)


def _created(envelope: Envelope[AgentEvent], event: AgentCreated) -> AgentRow:
    return AgentRow(
        tenant_id=envelope.tenant_id,
        agent_id=envelope.entity_id,
        name=event.name,
        agent_type=event.agent_type,
        capabilities=event.capabilities,
        config=event.config,
        status="created",
        created_at=envelope.occurred_at,
        updated_at=envelope.occurred_at,
        version=envelope.stream_version,
        position=envelope.position,
    )


def _changes(event: AgentEvent) -> dict[str, object]:
    match event:
        case AgentUpdated(name=name, agent_type=agent_type, config=config):
            given = {"name": name, "agent_type": agent_type, "config": config}
            return {field: value for field, value in given.items() if value is not None}
        case AgentCapabilitiesUpdated(capabilities=capabilities):
            return {"capabilities": capabilities}
        case AgentStarted():
            return {"status": "started"}
        case AgentStopped():
            return {"status": "stopped"}
        case AgentDeleted():
            return {"status": "deleted"}
        case _:
            pass
    return {}


AGENT_DIRECTORY = Projection(
    name="agent_directory",
    version=1,
    row=AgentRow,
    key=("tenant_id", "agent_id"),
    handles=get_args(AgentEvent),
    locate=locate,
    project=project,
    indexes=(
        ("tenant_id", "status", "agent_id"),
        ("tenant_id", "agent_type", "agent_id"),
        ("tenant_id", "name", "agent_id"),
    ),
)
