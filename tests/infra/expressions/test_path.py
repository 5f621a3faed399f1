"""Which programs are paths, and that they lead where jq says."""

import pytest
from pydantic import JsonValue

from infra.expressions.path import NOT_HERE, follow, path_of
from infra.expressions.program import evaluate, evaluate_guarded

DATA: JsonValue = {"a": {"b": [1, {"c": 2}], "none": None}, "text": "t", "and": 1}
VARIABLES: dict[str, JsonValue] = {"x": {"a": 5}, "n": None, "text": "t"}
PATHS = [
    ".",
    " . ",
    ".a",
    ".a.b",
    ".a.none.deeper",
    ".missing",
    ".missing.deeper",
    ".and",
    "$x",
    " $x.a ",
    "$x.b.c",
    "$n.a",
    "$text",
]
OTHERS = [
    "",
    "..",
    ".a[0]",
    ".a?",
    ".a|.b",
    "a",
    ".1",
    '."a"',
    "$",
    "$__loc__.file?",
    ". .a",
    ".a .b",
    "$x .a",
    ".a #",
    "1",
]


class TestAPath:
    @pytest.mark.parametrize("program", PATHS)
    def test_leads_where_jq_says(self, program: str) -> None:
        path = path_of(program)
        assert path is not None
        assert follow(path, DATA, VARIABLES) == evaluate_guarded(program, DATA, VARIABLES)

    @pytest.mark.parametrize("program", [".text.a", ".a.b.c", "$text.a", "$unknown"])
    def test_that_leads_nowhere_is_for_jq_to_refuse(self, program: str) -> None:
        path = path_of(program)
        assert path is not None
        assert follow(path, DATA, VARIABLES) is NOT_HERE

    def test_keeps_every_digit(self) -> None:
        assert evaluate(".a", {"a": 9_007_199_254_740_993}, {}) == 9_007_199_254_740_993


class TestAnotherProgram:
    @pytest.mark.parametrize("program", OTHERS)
    def test_is_no_path(self, program: str) -> None:
        assert path_of(program) is None
