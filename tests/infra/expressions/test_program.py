"""Evaluating programs: values, variables, what is refused, and what is too much."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import JsonValue

from infra.expressions.bounds import BOUNDS
from infra.expressions.failure import MESSAGE_CHARACTERS_MAX, ExpressionFailed
from infra.expressions.guard import HERE, WouldWait
from infra.expressions.lexer import NAMES_REFUSED
from infra.expressions.program import compile_only, evaluate, evaluate_guarded

SECRET = "sekret) and (number"


def failure(expression: str, value: JsonValue = None, variables: dict[str, JsonValue] | None = None) -> str:
    with pytest.raises(ExpressionFailed) as failed:
        evaluate(expression, value, variables or {})
    return str(failed.value)


class TestAProgram:
    @pytest.mark.parametrize(
        ("expression", "value", "output"),
        [
            (".", None, None),
            (".a.b", {"a": {"b": [1, 2.5, "x"]}}, [1, 2.5, "x"]),
            (".missing.too", {}, None),
            ("empty", 1, None),
            (".[]", [7, 8], 7),
            ("1, error", None, 1),
            ('"Hello \\(.name)!"', {"name": "Ünal"}, "Hello Ünal!"),
            ("{a, b: (.a + 1)}", {"a": 1}, {"a": 1, "b": 2}),
            (
                "[.pets[] | select(.age > 3) | .name]",
                {"pets": [{"age": 4, "name": "x"}, {"age": 1, "name": "y"}]},
                ["x"],
            ),
            ("if .a then 1 else 2 end", {"a": False}, 2),
            (".a // 3", {"a": None}, 3),
            ('test("^a+$")', "aaa", True),
            ("reduce .[] as $x (0; . + $x)", [1, 2, 3], 6),
            (". # and a remark }", 5, 5),
            ("{env: 1, input, debug: .debug}", {"input": 2, "debug": 3}, {"env": 1, "input": 2, "debug": 3}),
            ('"env and $ENV"', None, "env and $ENV"),
            ("100000000000000000000", None, 1e20),
        ],
    )
    def test_gives_its_first_output(self, expression: str, value: JsonValue, output: JsonValue) -> None:
        assert evaluate(expression, value, {}) == output
        assert evaluate_guarded(expression, value, {}) == output

    def test_sees_the_variables_that_it_mentions(self) -> None:
        variables: dict[str, JsonValue] = {"context": {"x": 1}, "input": [2], "secrets": {"never": "sent"}}
        assert evaluate("[.a, $context.x, $input[0]]", {"a": 0}, variables) == [0, 1, 2]
        assert evaluate(". as $input | $input", 5, variables) == 5
        assert evaluate('"\\($context.x)"', None, variables) == "1"

    def test_is_refused_if_nobody_gives_a_variable(self) -> None:
        assert failure("$nope") == "does not compile: $nope is not defined"

    @pytest.mark.parametrize(
        ("expression", "number"),
        [
            ("9223372036854775807 + 1", 2.0**63),
            ("18446744073709551615", 2.0**64),
            ("-9223372036854775808 - 9223372036854775808", -(2.0**64)),
            ("9000000000000000001", 9_000_000_000_000_000_001),
            ('"9223372036854775808"', "9223372036854775808"),
        ],
    )
    @pytest.mark.parametrize("how", [evaluate, evaluate_guarded])
    def test_yields_integers_of_64_bits_at_most(self, how: Any, expression: str, number: JsonValue) -> None:
        assert how(expression, None, {}) == number
        found = how(f'{{a: [({expression})], "b": true}}', None, {})
        assert found == {"a": [number], "b": True}
        assert isinstance(found["a"][0], type(number))

    def test_takes_a_value_that_cannot_be_json_for_a_failure(self) -> None:
        deep: JsonValue = []
        for _ in range(300):
            deep = [deep]
        assert "not JSON" in failure("[.]", deep)
        assert "not JSON" in failure("[.]", 1 << 70)


class TestAProgramThatIsNotAllowed:
    @pytest.mark.parametrize(
        "around", ["{}", "1 | {}", '"\\({})"', "{{({}): 1}}", "{{a: {}}}", "# x\n{}", "[.a, {}]", "def f: {}; f"]
    )
    def test_names_what_is_refused(self, around: str) -> None:
        for name in NAMES_REFUSED:
            assert failure(around.format(name)) == f"`{name}` is not allowed in an expression"

    @pytest.mark.parametrize(
        "expression", ["$ENV", "$ENV.PATH", '"\\($ENV)"', "$ ENV", "$#x\nENV", "{$ENV}", "$__prog_args"]
    )
    def test_sees_no_environment(self, expression: str) -> None:
        assert "is not allowed" in failure(expression)
        with pytest.raises(ExpressionFailed, match="is not allowed"):
            compile_only(expression, ["ENV"])

    def test_has_no_more_characters_than_the_bound(self) -> None:
        assert "more than 20000 characters" in failure("1" + " " * 20_000)


class TestAMessage:
    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            (".a", "Cannot index string with string"),
            (".[]", "Cannot iterate over string"),
            (". + 1", "string and number cannot be added"),
            ("tonumber", "string cannot be parsed as a number"),
            ("error", "the expression raised an error, or met a value of the wrong kind"),
            ("error({a: .})", "the expression raised an error, or met a value of the wrong kind"),
            ('error("no pet")', "no pet"),
            ("[.] | path(map(.) | .[0])", "Invalid path expression"),
            ('strptime("%Y")', "date"),
        ],
    )
    def test_never_holds_the_data(self, expression: str, message: str) -> None:
        said = failure(expression, SECRET)
        assert said.startswith(message)
        assert "sekret" not in said

    def test_of_a_long_text_that_is_not_json_does_not_hold_it_either(self) -> None:
        said = failure("fromjson", "{" + SECRET * 10_000)
        assert "sekret" not in said
        assert len(said) <= MESSAGE_CHARACTERS_MAX

    def test_of_a_syntax_error_names_it(self) -> None:
        assert failure("a b").startswith("syntax error, unexpected")
        assert failure(".a[") == "syntax error: ']' is missing"
        assert failure(".a)") == "syntax error: ')' closes nothing"
        assert failure('"a') == "syntax error: a string is not closed"
        assert failure("nothing_known") == "does not compile: nothing_known/0 is not defined"


class TestAProgramThatTakesTooMuch:
    @pytest.mark.outside
    @pytest.mark.parametrize("expression", ["def f: f; f", "[range(1e9)]", "last(repeat(1))"])
    def test_is_stopped_when_it_is_too_slow(self, expression: str) -> None:
        with pytest.raises(ExpressionFailed, match=r"too slow: it was stopped after 0\.2 s"):
            evaluate(expression, None, {}, replace(BOUNDS, seconds_max=0.2))

    @pytest.mark.outside
    @pytest.mark.parametrize(
        "expression",
        ['"a" * 1e9', "def f: 1 + f; f", "[limit(1e9; repeat(1))]", 'reduce range(60) as $i ("ab"; . + .)'],
    )
    def test_is_stopped_when_it_needs_too_much_memory(self, expression: str) -> None:
        with pytest.raises(ExpressionFailed, match=r"too large|too slow"):
            evaluate(expression, None, {}, replace(BOUNDS, seconds_max=1.0, child_memory_bytes_max=64 * 1024 * 1024))

    @pytest.mark.outside
    def test_fails_when_it_doubles_its_input_at_every_step(self) -> None:
        with pytest.raises(ExpressionFailed, match=r"too large|too slow"):
            evaluate(" | ".join(["[., .]"] * 40), None, {}, replace(BOUNDS, seconds_max=0.3))

    def test_fails_on_a_catastrophic_pattern(self) -> None:
        failure('test("^(a|aa)+$")', "a" * 60 + "!")

    def test_fails_when_its_output_is_too_large(self) -> None:
        assert evaluate('"x" * 900000', None, {}) == "x" * 900_000
        assert "the output is too large" in failure('"x" * 922000')
        assert "the output is too large" in failure("[., .]", "x" * 500_000)
        assert "the output is too large" in failure("[$a, $a, $a, $a]", None, {"a": "x" * 240_000})

    def test_fails_when_its_input_is_too_large(self) -> None:
        assert "the input is too large" in failure("1", "x" * 4_300_000)

    def test_fails_when_its_output_is_nested_too_deeply(self) -> None:
        assert "nested too deeply" in failure("reduce range(2000) as $i (null; [.])")
        assert "nested too deeply" in failure(" | ".join(["[.]"] * 300))

    def test_fails_when_a_number_that_it_repeats_is_too_large(self) -> None:
        assert failure("tonumber", "1e1000") == "the output holds a number that is too large"
        assert evaluate("tonumber < 5", "1e1000", {}) is False


class TestCompiling:
    def test_accepts_what_can_be_evaluated(self) -> None:
        compile_only(".a.b", ())
        compile_only('$context.a | test("x")', ("context",))
        compile_only("def f: f; f", ())

    def test_asks_the_child_about_all_but_paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(HERE, "may_wait", False)
        for path in (".", ".a.b", "$context.a"):
            compile_only(path, ("context",))
        for other in (".a + 1", "$other.a"):
            with pytest.raises(WouldWait):
                compile_only(other, ("context",))

    @pytest.mark.parametrize("expression", ["$context", ".a |", "", "nothing_known", 'test("a"; "b"; "c"; "d")', "env"])
    def test_refuses_what_cannot(self, expression: str) -> None:
        with pytest.raises(ExpressionFailed):
            compile_only(expression, ())
