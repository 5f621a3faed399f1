"""Templates: which texts are expressions, and what they become."""

import pytest
from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.program import evaluate
from infra.expressions.template import check, fill, is_expression, mentioned, programs, strip

DATA: JsonValue = {"name": "Ada", "age": 36, "none": None, "list": [1, "${ .name }"], "quote": "}"}


def filled(template: JsonValue, loose: bool = False) -> JsonValue:
    return fill(template, lambda program: evaluate(program, DATA, {}), loose)


class TestAText:
    @pytest.mark.parametrize(
        "text", ["${ .a }", "  ${ .a }\n", "${.a}", '${ {a: "}"} }', '${ "\\("}")" }', "${ {a: {b: 1}} }", "${ .a[ }"]
    )
    def test_is_an_expression(self, text: str) -> None:
        assert is_expression(text)

    @pytest.mark.parametrize(
        "text", ["", ".a", "a ${ .a }", "${ .a } b", "${ .a } ${ .b }", "${HOME}/${USER}", "$ { .a }", "${ .a"]
    )
    def test_is_not_an_expression(self, text: str) -> None:
        assert not is_expression(text)

    def test_loses_its_braces(self) -> None:
        assert [strip("${ .a }"), strip(" ${.b} "), strip(".c"), strip("${ {} }")] == [".a", ".b", ".c", "{}"]


class TestATemplate:
    @pytest.mark.parametrize(
        ("template", "value"),
        [
            ("plain", "plain"),
            ("${ .age }", 36),
            ("${ .none }", None),
            ("${ .list }", [1, "${ .name }"]),
            ("Hello ${ .name }!", "Hello Ada!"),
            ("${ .name } is ${ .age } ${ .none }${ [.age, {a: 1}] }", 'Ada is 36 [36,{"a":1}]'),
            ('x ${ {a: "}"} } y', 'x {"a":"}"} y'),
            ('x ${ "\\(.quote)\\("}")" } y', "x }} y"),
            ("echo ${HOME}/${USER:-x} $1 ${ .name }", "echo ${HOME}/${USER:-x} $1 Ada"),
            ("a ${ .list } b", 'a [1,"${ .name }"] b'),
            (
                {"${ .name }": ["${ .age }", {"b": "${ .name }"}, 1, None, True]},
                {"${ .name }": [36, {"b": "Ada"}, 1, None, True]},
            ),
        ],
    )
    def test_is_filled(self, template: JsonValue, value: JsonValue) -> None:
        assert filled(template) == value

    @pytest.mark.parametrize("template", ["${ .a. }", "a ${ .name", "a ${ env } b", "${ }"])
    def test_fails_where_an_expression_fails(self, template: str) -> None:
        with pytest.raises(ExpressionFailed):
            filled(template)

    def test_in_loose_mode_evaluates_every_text_that_it_can(self) -> None:
        template: JsonValue = {
            "a": ".name",
            "b": "red",
            "c": "${ .age }",
            "d": "${ .a. }",
            "e": "Hi ${ .name }",
            "f": "not jq at all (",
            "g": 1,
        }
        assert filled(template, loose=True) == {**template, "a": "Ada", "c": 36, "e": "Hi Ada"}

    def test_lists_its_programs(self) -> None:
        assert list(programs({"a": "${ .x }", "b": ["t ${ .y } ${ .z }", "none", 1]})) == [".x", ".y", ".z"]


class TestAMention:
    @pytest.mark.parametrize(
        "template",
        [
            "${ $secrets.a }",
            {"a": ["x ${ $secrets } y"]},
            '${ "\\($secrets.a)" }',
            "${ $secrets | ( }",
            "a ${ $secrets",
        ],
    )
    def test_is_found(self, template: JsonValue) -> None:
        assert mentioned(template, "secrets")

    @pytest.mark.parametrize(
        "template",
        ["$secrets", "${ .secrets }", "${ $secretsToo }", '${ "$secrets" }', {"$secrets": 1}, None, "${secrets}"],
    )
    def test_is_not_found_where_there_is_none(self, template: JsonValue) -> None:
        assert not mentioned(template, "secrets")

    def test_is_found_without_braces_where_every_text_is_an_expression(self) -> None:
        assert mentioned({"if": "$secrets.a == 1"}, "secrets", loose=True)


class TestACheck:
    def test_accepts_a_program_with_and_without_braces(self) -> None:
        check("${ .a }")
        check('$context.a | test("x")', {"context"})

    @pytest.mark.parametrize("expression", ["${ $context }", ".a |", "${ env }", "$ENV"])
    def test_refuses_what_could_never_be_evaluated(self, expression: str) -> None:
        with pytest.raises(ExpressionFailed):
            check(expression)
