"""The decider of agents."""

import pytest
from pydantic import ValidationError

from events.agent import (
    AgentCapabilitiesUpdated,
    AgentConfig,
    AgentCreated,
    AgentDeleted,
    AgentStarted,
    AgentStopped,
    AgentUpdated,
)
from write_side.agent import (
    AGENT,
    AgentAlreadyDeleted,
    AgentAlreadyExists,
    AgentAlreadyStarted,
    AgentNotStarted,
    AgentUnchanged,
    AgentUnknown,
    CreateAgent,
    DeleteAgent,
    StartAgent,
    StopAgent,
    UpdateAgent,
    UpdateAgentCapabilities,
)
from write_side.agent_name import ClaimAgentName, ReleaseAgentName, agent_name_id

CREATED = AgentCreated(name="Ada", agent_type="autonomous", capabilities=("search", "book"))
DELETED = AgentDeleted(name="Ada")
ON_ANY_AGENT = [
    UpdateAgent(agent_id="a1", name="Bob"),
    UpdateAgentCapabilities(agent_id="a1", capabilities=()),
    StartAgent(agent_id="a1"),
    StopAgent(agent_id="a1"),
    DeleteAgent(agent_id="a1"),
]


def create(**fields):
    return CreateAgent(**{"agent_id": "a1", "name": "Ada", "agent_type": "autonomous", **fields})


class TestAnUnknownAgent:
    def test_can_be_created(self, given):
        config = AgentConfig(prompts={"system": "Be kind."}, tools=("search",), model_preferences=("gpt-4o",))
        command = create(capabilities=("search", "book"), config=config)
        created = AgentCreated(name="Ada", agent_type="autonomous", capabilities=("search", "book"), config=config)
        given(AGENT).when(command).then(created)

    def test_is_given_an_id_when_the_command_has_none(self):
        ids = {CreateAgent(name="Ada", agent_type="reactive").agent_id for _ in range(100)}
        assert len(ids) == 100

    @pytest.mark.parametrize("command", ON_ANY_AGENT, ids=lambda command: type(command).__name__)
    def test_is_not_found(self, given, command):
        given(AGENT).when(command).then_refused(AgentUnknown, 404)


class TestACreatedAgent:
    def test_cannot_be_created_again(self, given):
        given(AGENT, CREATED).when(create()).then_refused(AgentAlreadyExists)

    def test_can_be_started(self, given):
        given(AGENT, CREATED).when(StartAgent(agent_id="a1")).then(AgentStarted())

    def test_cannot_be_stopped(self, given):
        given(AGENT, CREATED).when(StopAgent(agent_id="a1")).then_refused(AgentNotStarted)

    def test_can_be_deleted(self, given):
        given(AGENT, CREATED).when(DeleteAgent(agent_id="a1")).then(DELETED)

    def test_records_only_what_changes(self, given):
        command = UpdateAgent(agent_id="a1", name="Bob", agent_type="autonomous")
        given(AGENT, CREATED).when(command).then(AgentUpdated(name="Bob"))

    def test_can_be_given_another_configuration(self, given):
        config = AgentConfig(tools=("browser",))
        given(AGENT, CREATED).when(UpdateAgent(agent_id="a1", config=config)).then(AgentUpdated(config=config))

    @pytest.mark.parametrize("fields", [{}, {"name": "Ada"}, {"agent_type": "autonomous"}])
    def test_refuses_an_update_that_changes_nothing(self, given, fields):
        given(AGENT, CREATED).when(UpdateAgent(agent_id="a1", **fields)).then_refused(AgentUnchanged)

    def test_can_be_given_other_capabilities(self, given):
        command = UpdateAgentCapabilities(agent_id="a1", capabilities=("pay",))
        given(AGENT, CREATED).when(command).then(AgentCapabilitiesUpdated(capabilities=("pay",)))

    def test_refuses_the_capabilities_that_it_has(self, given):
        command = UpdateAgentCapabilities(agent_id="a1", capabilities=("book", "search"))
        given(AGENT, CREATED).when(command).then_refused(AgentUnchanged)


class TestAStartedAgent:
    def test_cannot_be_started_again(self, given):
        given(AGENT, CREATED, AgentStarted()).when(StartAgent(agent_id="a1")).then_refused(AgentAlreadyStarted)

    def test_can_be_stopped_for_a_reason(self, given):
        command = StopAgent(agent_id="a1", reason="too slow")
        given(AGENT, CREATED, AgentStarted()).when(command).then(AgentStopped(reason="too slow"))

    def test_stays_started_when_it_is_changed(self, given):
        past = [CREATED, AgentStarted(), AgentUpdated(name="Bob"), AgentCapabilitiesUpdated(capabilities=())]
        given(AGENT, *past).when(StartAgent(agent_id="a1")).then_refused(AgentAlreadyStarted)

    def test_can_be_started_again_after_a_stop(self, given):
        given(AGENT, CREATED, AgentStarted(), AgentStopped()).when(StartAgent(agent_id="a1")).then(AgentStarted())


class TestADeletedAgent:
    @pytest.mark.parametrize("command", ON_ANY_AGENT, ids=lambda command: type(command).__name__)
    def test_stays_deleted(self, given, command):
        given(AGENT, CREATED, DELETED).when(command).then_refused(AgentAlreadyDeleted)

    def test_cannot_be_created_again(self, given):
        given(AGENT, CREATED, DELETED).when(create()).then_refused(AgentAlreadyExists)


class TestTheNameOfAnAgent:
    def claim(self, name):
        return ClaimAgentName(agent_name_id=agent_name_id(name), name=name, agent_id="a1")

    def release(self, name):
        return ReleaseAgentName(agent_name_id=agent_name_id(name), name=name, agent_id="a1")

    def test_is_claimed_when_it_is_created(self):
        assert list(AGENT.companions(create(), AGENT.initial)) == [self.claim("Ada")]

    def test_changes_hands_when_it_is_renamed(self):
        found = AGENT.companions(UpdateAgent(agent_id="a1", name="Bob"), AGENT.fold([CREATED]))
        assert list(found) == [self.claim("Bob"), self.release("Ada")]

    def test_is_the_new_one_when_it_is_renamed_twice(self):
        found = AGENT.companions(UpdateAgent(agent_id="a1", name="Cy"), AGENT.fold([CREATED, AgentUpdated(name="Bob")]))
        assert list(found) == [self.claim("Cy"), self.release("Bob")]

    def test_is_kept_when_only_its_case_changes(self):
        assert not AGENT.companions(UpdateAgent(agent_id="a1", name="ADA"), AGENT.fold([CREATED]))

    def test_is_released_when_it_is_deleted(self):
        assert list(AGENT.companions(DeleteAgent(agent_id="a1"), AGENT.fold([CREATED]))) == [self.release("Ada")]

    @pytest.mark.parametrize("command", ON_ANY_AGENT, ids=lambda command: type(command).__name__)
    def test_concerns_nobody_when_the_agent_is_unknown_or_deleted(self, command):
        assert not AGENT.companions(command, AGENT.initial)
        assert not AGENT.companions(command, AGENT.fold([CREATED, DELETED]))


class TestWhatAnAgentMayBe:
    @pytest.mark.parametrize(
        "fields",
        [
            {"name": ""},
            {"name": "   "},
            {"name": "A\x00"},
            {"name": "x" * 201},
            {"agent_type": "robotic"},
            {"agent_id": "no blanks"},
            {"capabilities": ["a", "a"]},
            {"capabilities": [f"c{number}" for number in range(101)]},
            {"config": {"unheard": 1}},
            {"config": {"memory": {"text": "\x00"}}},
            {"shoe_size": 43},
        ],
        ids=str,
    )
    def test_is_bounded(self, fields):
        with pytest.raises(ValidationError):
            create(**fields)
