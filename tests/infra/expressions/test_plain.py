"""Which programs may run inside this process, and that they yield there what they yield in the child."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.plain import cost_of, is_plain
from infra.expressions.program import evaluate, evaluate_guarded
from tests.sizes import examples

NAMES = ("a", "b", "c")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
ATOMS = st.sampled_from(
    [".", ".a", ".b.c", ".[0]", ".[]?", "$x", "$x.a", "1", "2.5", "null", "true", '"t"', "length", "keys", "type", "[]"]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["|", ",", "//", "+", "-", "/", "==", "<", "and", "or", "%"])
    names = st.sampled_from(
        ["map", "select", "any", "all", "has", "sort_by", "group_by", "join", "split", "startswith", "with_entries"]
    )
    return (
        st.builds("({} {} {})".format, inner, operators, inner)
        | st.builds("{}({})".format, names, inner)
        | st.builds("[{}]".format, inner)
        | st.builds("{{a: {}, ({}): 1, $x}}".format, inner, inner)
        | st.builds("if {} then {} else {} end".format, inner, inner, inner)
        | st.builds('"n \\({})"'.format, inner)
        | st.builds(
            "{} | {}".format,
            inner,
            st.sampled_from(["tostring", "add", "sort", "unique", "to_entries", "not", "first", "@json"]),
        )
    )


PROGRAMS = st.recursive(ATOMS, _larger, max_leaves=8)


def outcome(run: object, program: str, value: JsonValue, x: JsonValue) -> object:
    try:
        return run(program, value, {"x": x})  # type: ignore[operator]
    except ExpressionFailed as failed:
        return str(failed)


class TestAPlainProgram:
    @settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(PROGRAMS, VALUES, VALUES)
    def test_yields_here_what_it_yields_in_the_child(self, program: str, value: JsonValue, x: JsonValue) -> None:
        assert cost_of(program, 256) is not None
        assert outcome(evaluate, program, value, x) == outcome(evaluate_guarded, program, value, x)

    @settings(max_examples=examples(250), deadline=None)
    @given(PROGRAMS, VALUES, VALUES)
    def test_makes_no_more_than_its_bound(self, program: str, value: JsonValue, x: JsonValue) -> None:
        size = len(orjson.dumps({".": value, "x": x}))
        cost = cost_of(program, size)
        assert cost is not None
        output = outcome(evaluate, program, value, x)
        if not isinstance(output, str):
            assert len(orjson.dumps(output)) <= cost.size.at(size) + 32

    @pytest.mark.parametrize(
        "program",
        [
            ".",
            ".a.b",
            '."a b"',
            '.["a"]',
            ".a[0].b",
            ".a[1:3]",
            ".a[]?",
            "{a: .a, $x, b}",
            "[.a, $x.y[]]",
            '"v \\(.a | tostring)"',
            "-.a",
            "map(.a) | add",
            ".a * 2",
            "if .a then 1 elif .b then 2 end",
            '.a // "none"',
            "($x | length) == 5",
            '. + {status: "sold"}',
            '.pets | map("-\\(.name)") | join("\\n")',
            ".a < 60 or .b > 100",
            "keys | length",
            ".x | not",
            "@base64",
        ],
    )
    def test_is_one_of_the_everyday_ones(self, program: str) -> None:
        assert is_plain(program, 500)

    @pytest.mark.parametrize(
        "program",
        [
            "..",
            "def f: f; f",
            ". as $x | $x",
            "reduce .[] as $x (0; .)",
            "[range(9)]",
            'test("a")',
            ".a = 1",
            ".a |= 1",
            "recurse",
            "walk(.)",
            ".a * .b",
            '"a" * 100000',
            "limit(1; .)",
            "label $f | 1",
            "try error",
            '@base64 "x\\(.)"',
            "repeat(.)",
            "until(.; .)",
            "input",
            "[., .] | " * 40 + ".",
            ". + . | " * 40 + ".",
            "map(" * 50 + "." + ")" * 50,
            "1 +" * 2000 + " 1",
            "-" * 3000 + "1",
            "now",
            "todate",
            ".[1e3:] *= 2",
        ],
    )
    def test_is_none_of_those_without_a_bound(self, program: str) -> None:
        assert not is_plain(program, 1_000)

    @pytest.mark.parametrize(
        "program", ["map(.a)", "$x - .", "map($x)", "[.[] + .[]]", "sort", "join(.a)", "map(map(map($x)))"]
    )
    def test_depends_on_the_size_of_its_input(self, program: str) -> None:
        assert is_plain(program, 10)
        assert not is_plain(program, 250_000)

    def test_has_an_input_within_the_bound(self) -> None:
        assert is_plain(".a.b", 256 * 1024)
        assert not is_plain(".a.b", 256 * 1024 + 1)
