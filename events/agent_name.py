"""What happens to an agent's name: who holds it, so that a name in use is unique in its tenant."""

from events.event import Event, Id, Name


class AgentNameClaimed(Event):
    """When an agent took a name that nobody held."""

    type = "agent_name.claimed"

    name: Name
    agent_id: Id


class AgentNameReleased(Event):
    """When the agent that held a name gave it up: it was renamed or deleted."""

    type = "agent_name.released"

    name: Name
    agent_id: Id


AgentNameEvent = AgentNameClaimed | AgentNameReleased
