"""The small values of definitions."""

import pytest
from pydantic import TypeAdapter, ValidationError

from write_side.definition.values import (
    Duration,
    Host,
    PointerOrExpression,
    SemanticVersion,
    TimeOrExpression,
    UriTemplate,
    is_expression,
    json_name,
)

GOOD: dict[str, tuple[object, ...]] = {
    "duration": ("PT1S", "P1Y2M3W4DT5H6M7.5S", "P1W", "${ .a }", " ${ .a }\n", {"days": -1}, {"hours": 1.0}),
    "host": ("localhost", "a.example", "a" * 63),
    "pointer": ("", "/do/0", "/a~1b", "${ .a }"),
    "version": ("1.0.3", "0.0.0-alpha.1+build-7"),
    "time": ("2026-01-02T03:04:05Z", "2026-01-02t03:04:05.678+01:00", "${ now }"),
    "uri": ("https://a.example/{b}?c=d#e", "/relative", "urn:a:b"),
}
BAD: dict[str, tuple[object, ...]] = {
    "duration": (
        "",
        "P",
        "PT",
        "P1DT",
        "1S",
        "PT1S\n",
        "pt1s",
        "${ .a",
        "${}",
        {},
        {"weeks": 1},
        {"days": 1.5},
        {"days": "1"},
        5,
        None,
    ),
    "host": ("", "-a", "a" * 64, "a_b"),
    "pointer": ("do/0", "/a~2"),
    "version": ("1.0", "01.0.0", "1.0.0-", "1.0.0\n", 1.0),
    "time": ("2026-01-02", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02T03:04:05", "now"),
    "uri": ("", " ", "https://a b", "${ .a }"),
}
TYPES: dict[str, TypeAdapter[object]] = {
    "duration": TypeAdapter(Duration),
    "host": TypeAdapter(Host),
    "pointer": TypeAdapter(PointerOrExpression),
    "version": TypeAdapter(SemanticVersion),
    "time": TypeAdapter(TimeOrExpression),
    "uri": TypeAdapter(UriTemplate),
}


@pytest.mark.parametrize("kind", TYPES)
class TestAValue:
    def test_is_taken(self, kind: str) -> None:
        for value in GOOD[kind]:
            TYPES[kind].validate_python(value)

    def test_is_refused(self, kind: str) -> None:
        for value in BAD[kind]:
            with pytest.raises(ValidationError):
                TYPES[kind].validate_python(value)


class TestAnExpression:
    def test_stands_between_its_delimiters_on_one_line(self) -> None:
        assert is_expression("${ .a }")
        assert not any(map(is_expression, (".a", "a ${ .b }", "${ .a } b", "${\n.a\n}")))


class TestAFieldName:
    def test_is_that_of_the_specification(self) -> None:
        assert [json_name(name) for name in ("except_when", "with_", "operation_id")] == [
            "exceptWhen",
            "with",
            "operationId",
        ]
