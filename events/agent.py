"""What happens to an agent: a named worker that can be given tasks while it is started."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from events.event import Event, JsonObject, Label, Name, Reason, Text

CAPABILITIES_MAX = 100
PROMPTS_MAX = 100
TOOLS_MAX = 1_000
MODEL_PREFERENCES_MAX = 100

AgentType = Literal["conversational", "autonomous", "reactive"]


def _without_duplicates(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        raise ValueError("must not name anything twice")
    return labels


Capabilities = Annotated[
    tuple[Label, ...],
    Field(max_length=CAPABILITIES_MAX, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_without_duplicates),
]
"""What an agent can do: up to CAPABILITIES_MAX different labels."""


class AgentConfig(BaseModel):
    """How an agent is set up; `model_preferences` with the preferred model first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: dict[Name, Text] = Field(default={}, max_length=PROMPTS_MAX)
    tools: tuple[Label, ...] = Field(default=(), max_length=TOOLS_MAX)
    memory: JsonObject = {}
    model_preferences: tuple[Label, ...] = Field(default=(), max_length=MODEL_PREFERENCES_MAX)


class AgentCreated(Event):
    """When someone has registered an agent; it is not started yet."""

    type = "agent.created"

    name: Name
    agent_type: AgentType
    capabilities: Capabilities = ()
    config: AgentConfig = AgentConfig()


class AgentUpdated(Event):
    """When an agent's name, type or configuration was changed; what is None stays as it was."""

    type = "agent.updated"

    name: Name | None = None
    agent_type: AgentType | None = None
    config: AgentConfig | None = None


class AgentCapabilitiesUpdated(Event):
    """When the capabilities of an agent were replaced by these."""

    type = "agent.capabilities_updated"

    capabilities: Capabilities


class AgentStarted(Event):
    """When an agent began to accept tasks."""

    type = "agent.started"


class AgentStopped(Event):
    """When a started agent ceased to accept tasks."""

    type = "agent.stopped"

    reason: Reason | None = None


class AgentDeleted(Event):
    """When an agent was retired for good; `name` is free again."""

    type = "agent.deleted"

    name: Name


AgentEvent = AgentCreated | AgentUpdated | AgentCapabilitiesUpdated | AgentStarted | AgentStopped | AgentDeleted
