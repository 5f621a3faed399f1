"""The agents of a tenant, as the agent directory has them."""

from infra.errors import NotFound
from projections.agent_directory import AGENT_DIRECTORY
from read_side.listing import Listing


class AgentUnknown(NotFound):
    """There is no such agent."""


AGENTS = Listing("agents", AGENT_DIRECTORY, AgentUnknown, filters=("status", "agent_type", "name"))
