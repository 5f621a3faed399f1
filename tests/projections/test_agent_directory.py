"""The agent directory."""

import pytest

from events.agent import (
    AgentCapabilitiesUpdated,
    AgentConfig,
    AgentCreated,
    AgentDeleted,
    AgentStarted,
    AgentStopped,
    AgentUpdated,
)
from projections.agent_directory import AGENT_DIRECTORY

CONFIG = AgentConfig(
    prompts={"system": "Be kind."}, tools=("search",), memory={"turns": 10}, model_preferences=("gpt",)
)


def created(name="Ada"):
    return AgentCreated(name=name, agent_type="conversational", capabilities=("french",), config=CONFIG)


@pytest.fixture
def directory(read_model):
    return read_model(AGENT_DIRECTORY)


class TestTheAgentDirectory:
    def test_keeps_tenants_and_agents_apart(self, directory):
        directory.given("acme", "agent-a1", created("Ada")).given("acme", "agent-a2", created("Bob"))
        directory.given("other", "agent-a1", created("Cleo")).given("acme", "agent-a1", AgentStarted())
        directory.then("acme", "a1", name="Ada", status="started", version=2, position=4)
        directory.then("acme", "a2", name="Bob", status="created", version=1, position=2)
        directory.then("other", "a1", name="Cleo", status="created", version=1, position=3)
        assert len(directory.rows) == 3

    def test_shows_how_an_agent_was_registered(self, directory):
        directory.given("acme", "agent-a1", created())
        at = directory.at(1)
        directory.then("acme", "a1", agent_type="conversational", capabilities=("french",), config=CONFIG)
        directory.then("acme", "a1", created_at=at, updated_at=at)

    def test_keeps_what_an_update_left_out(self, directory):
        directory.given("acme", "agent-a1", created(), AgentUpdated(name="Eve"))
        directory.then("acme", "a1", name="Eve", agent_type="conversational", config=CONFIG, updated_at=directory.at(2))
        directory.given("acme", "agent-a1", AgentUpdated(agent_type="reactive", config=AgentConfig()))
        directory.then(
            "acme", "a1", name="Eve", agent_type="reactive", config=AgentConfig(), created_at=directory.at(1)
        )

    def test_replaces_capabilities(self, directory):
        directory.given("acme", "agent-a1", created(), AgentCapabilitiesUpdated(capabilities=("german", "sums")))
        directory.then("acme", "a1", capabilities=("german", "sums"))

    def test_follows_an_agent_to_its_end_and_keeps_it(self, directory):
        directory.given("acme", "agent-a1", created(), AgentStarted(), AgentStopped(reason="r"))
        directory.then("acme", "a1", status="stopped")
        directory.given("acme", "agent-a1", AgentDeleted(name="Ada"))
        directory.then("acme", "a1", status="deleted", name="Ada", version=4, position=4)

    def test_has_nothing_of_an_agent_whose_beginning_is_parked(self, directory):
        assert not directory.given("acme", "agent-a1", AgentStarted()).rows
