"""Runs of cheap definitions begin with their start; what costs anything is left to whoever carries runs on."""

from typing import Any

import pytest

from events.run import RunStarted, RunTaskStarted
from tests.write_side.running import Running, workflow
from write_side.interpreter.cheap import is_cheap
from write_side.run import RUN
from write_side.run_commands import StartRun

SET: dict[str, Any] = {"set": {"b": "${ .a }"}}
CHEAP: dict[str, Any] = {
    "a set": {"do": [{"s": SET}]},
    "a condition": {"do": [{"s": {**SET, "if": "${ .a }"}}]},
    "a loop": {"do": [{"l": {"for": {"each": "n", "in": ".items"}, "do": [{"s": {"set": {"b": "${ $n }"}}}]}}]},
    "a wait": {"do": [{"w": {"wait": {"seconds": 1}}}]},
}
COSTLY: dict[str, Any] = {
    "an expression": {"do": [{"s": {"set": {"b": "${ .a + 1 }"}}}]},
    "a condition without braces": {"do": [{"s": {**SET, "if": ".a == 1"}}]},
    "an expression in a text": {"do": [{"s": {"set": {"b": "a ${ .a }"}}}]},
    "a later expression": {"do": [{"w": {"wait": {"seconds": 1}}}, {"s": {"set": {"b": "${ [.] }"}}}]},
    "a schema": {"do": [{"s": {**SET, "output": {"schema": {"document": {"type": "object"}}}}}]},
    "an input that is formed": {"do": [{"s": SET}], "input": {"from": "."}},
    "another mode": {"do": [{"s": SET}], "evaluate": {"mode": "loose"}},
    "what matches errors": {"do": [{"t": {"try": [{"s": SET}], "catch": {"errors": {"with": {"status": 500}}}}}]},
}


@pytest.mark.parametrize("document", CHEAP.values(), ids=CHEAP)
class TestACheapDefinition:
    def test_is_one(self, document: Any) -> None:
        assert is_cheap(document)

    def test_has_its_run_go_on_at_once(self, document: Any) -> None:
        running = Running(workflow(document["do"]))
        started, *more = running.send(
            StartRun(run_id="r1", workflow_id=running.workflow_id, input={"a": 1, "items": [1]})
        )
        assert isinstance(started, RunStarted)
        assert started.going
        assert isinstance(more[0], RunTaskStarted)
        assert running.state == RUN.fold([started, *more])


@pytest.mark.parametrize("document", COSTLY.values(), ids=COSTLY)
class TestAnyOtherDefinition:
    def test_is_none(self, document: Any) -> None:
        assert not is_cheap(document)


class TestACostlyRun:
    def test_only_starts(self) -> None:
        running = Running(workflow(COSTLY["an expression"]["do"]))
        (started,) = running.send(StartRun(run_id="r1", workflow_id=running.workflow_id, input={"a": 1}))
        assert isinstance(started, RunStarted)
        assert not started.going
