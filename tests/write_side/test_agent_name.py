"""The decider of an agent's name."""

import pytest

from events.agent_name import AgentNameClaimed, AgentNameReleased
from write_side.agent_name import AGENT_NAME, AgentNameTaken, ClaimAgentName, ReleaseAgentName, agent_name_id

KEY = agent_name_id("Ada")
CLAIMED = AgentNameClaimed(name="Ada", agent_id="a1")
RELEASED = AgentNameReleased(name="Ada", agent_id="a1")


def claim(agent_id):
    return ClaimAgentName(agent_name_id=KEY, name="Ada", agent_id=agent_id)


def release(agent_id):
    return ReleaseAgentName(agent_name_id=KEY, name="Ada", agent_id=agent_id)


class TestAFreeName:
    def test_can_be_claimed(self, given):
        given(AGENT_NAME).when(claim("a1")).then(CLAIMED)

    def test_can_be_claimed_again_once_it_was_released(self, given):
        given(AGENT_NAME, CLAIMED, RELEASED).when(claim("a2")).then(AgentNameClaimed(name="Ada", agent_id="a2"))

    def test_makes_no_event_when_released(self, given):
        given(AGENT_NAME).when(release("a1")).then_nothing()


class TestANameInUse:
    def test_cannot_be_claimed_by_another_agent(self, given):
        given(AGENT_NAME, CLAIMED).when(claim("a2")).then_refused(AgentNameTaken)

    def test_stays_with_the_agent_that_claims_it_again(self, given):
        given(AGENT_NAME, CLAIMED).when(claim("a1")).then_nothing()

    def test_can_be_released_by_its_agent(self, given):
        given(AGENT_NAME, CLAIMED).when(release("a1")).then(RELEASED)

    def test_is_not_released_by_another_agent(self, given):
        given(AGENT_NAME, CLAIMED).when(release("a2")).then_nothing()


class TestTheKeyOfAName:
    @pytest.mark.parametrize("other", ["ada", " Ada ", "ADA"])
    def test_does_not_mind_case_and_outer_blanks(self, other):
        assert agent_name_id(other) == KEY

    def test_does_not_mind_how_accents_are_encoded(self):
        assert agent_name_id("Ren\u00e9") == agent_name_id("Rene\u0301")

    def test_tells_different_names_apart(self):
        assert agent_name_id("Adam") != KEY
