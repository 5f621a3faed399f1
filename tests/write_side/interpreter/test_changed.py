"""Changed copies of what the interpreter knows."""

import dataclasses
from typing import Any

import pytest

from write_side.interpreter.changed import replace
from write_side.interpreter.state import Node, RunState

KNOWN = [
    Node(3, 0, "/do/0/a", "a", "call", raw={"a": 1}, input=[1], phase="awaiting", outputs={0: "x"}),
    RunState("running", "w", "1.0.0", nodes={0: Node(0, -1, "", "", "run")}, ready=(0,)),
]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: type(known).__name__)
class TestAChangedCopy:
    def test_is_what_dataclasses_would_give(self, known: Any) -> None:
        for field in dataclasses.fields(known):
            assert replace(known, **{field.name: "new"}) == dataclasses.replace(known, **{field.name: "new"})

    def test_leaves_what_it_is_made_of_as_it_was(self, known: Any) -> None:
        before = dataclasses.replace(known)
        replace(known, begun=7)
        assert known == before

    def test_is_frozen_as_well(self, known: Any) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            replace(known).begun = 7

    def test_has_no_other_fields(self, known: Any) -> None:
        with pytest.raises(TypeError, match="has no such field: colour"):
            replace(known, colour="red")
