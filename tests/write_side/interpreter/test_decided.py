"""The state that the decider of runs hands over with its events is the one that the events lead to."""

from typing import Any

import pytest
from pydantic import JsonValue

from events.event import Event
from infra.patterns.decider import Decided
from tests.write_side.running import Running, workflow
from write_side.run import RUN
from write_side.run_commands import AdvanceRun, StartRun

SET: dict[str, JsonValue] = {"set": {"number": 1}}
GIVEN: JsonValue = {"items": list(range(150))}
DEFINITIONS: dict[str, list[Any]] = {
    "a list": [{"a": SET}, {"b": SET}],
    "a loop longer than one append": [{"a": {"for": {"each": "n", "in": "${ .items }"}, "do": [{"b": SET}]}}],
    "a fork": [{"a": {"fork": {"branches": [{"b": SET}, {"c": SET}]}}}],
    "a failure": [{"a": {"raise": {"error": {"type": "https://x.org/e", "status": 500}}}}],
    "a wait": [{"a": SET}, {"b": {"wait": {"seconds": 1}}}],
}


@pytest.mark.parametrize("do", DEFINITIONS.values(), ids=DEFINITIONS)
class TestWhatIsDecided:
    def test_has_the_state_after_its_events(self, do: list[Any]) -> None:
        running = Running(workflow(do))
        running.send(StartRun(run_id="r1", workflow_id=running.workflow_id, input=GIVEN, at=running.now))
        while running.status == "running":
            before, decided = running.state, self.advance(running)
            assert isinstance(decided, Decided)
            after: Any = before
            for event in decided:
                after = RUN.evolve(after, event)
            assert RUN.after(before, decided) == after
            assert RUN.after(before, list(decided)) == after
            running.state = after
            if not decided:
                return

    def test_is_a_list_like_any_other(self, do: list[Any]) -> None:
        running = Running(workflow(do))
        command = StartRun(run_id="r1", workflow_id=running.workflow_id, input=GIVEN, at=running.now)
        decided = RUN.decide_all(command, running.state, {f"workflow-{running.workflow_id}": running._workflow})
        assert decided == list(decided) != []
        assert all(isinstance(event, Event) for event in decided)

    @staticmethod
    def advance(running: Running) -> Any:
        command = AdvanceRun(run_id="r1", at=running.now)
        return RUN.decide_all(command, running.state, {})
