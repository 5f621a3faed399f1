"""Checking values against schemas."""

from dataclasses import replace

import pytest
from pydantic import JsonValue

from infra.expressions.bounds import BOUNDS
from infra.expressions.failure import ExpressionFailed
from infra.expressions.schema import violations

pytestmark = pytest.mark.outside


class TestAValue:
    @pytest.mark.parametrize(
        ("schema", "value", "messages"),
        [
            (True, 1, []),
            (False, "sekret", ["/: string is not allowed here"]),
            (
                {"properties": {"order": {"properties": {"pet": {"required": ["id"]}}}}},
                {"order": {"pet": {}}},
                ["/order/pet: 'id' is a required property"],
            ),
            ({"type": ["integer", "null"]}, "sekret", ["/: is string, not integer or null"]),
            ({"items": {"enum": [1, 2]}}, [1, "sekret"], ["/1: string is none of the allowed values"]),
            ({"maxLength": 3}, "sekret", ["/: string does not meet maxLength: 3"]),
            ({"additionalProperties": False}, {"sekret": 1}, ["/: has properties that are not allowed"]),
            ({"anyOf": [{"const": 1}]}, "sekret", ["/: string does not meet anyOf"]),
            ({"pattern": "^a"}, "sekret", ['/: string does not meet pattern: "^a"']),
            ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, "sekret", ["/: string is not the required value"]),
            ({"properties": {"a/b~": {"type": "null"}}}, {"a/b~": 1}, ["/a~1b~0: is number, not null"]),
            (
                {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True},
                1,
                ["/: number does not meet minimum: 1"],
            ),
        ],
    )
    def test_is_said_to_violate_its_schema_without_being_quoted(
        self, schema: JsonValue, value: JsonValue, messages: list[str]
    ) -> None:
        assert violations(schema, value) == messages

    def test_has_a_bounded_number_of_violations(self) -> None:
        wrong: JsonValue = ["x"] * 100
        assert len(violations({"items": {"type": "integer"}}, wrong)) == 20
        assert len(violations({"items": {"pattern": "a"}}, wrong)) == 20

    def test_may_be_large(self) -> None:
        rows: JsonValue = [{"id": number} for number in range(5_000)]
        schema: JsonValue = {"items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}}
        assert violations(schema, rows, replace(BOUNDS, seconds_max=10)) == []


class TestASchema:
    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ({"type": "nope"}, "the schema is invalid at /type"),
            ({"pattern": "("}, "the schema is invalid"),
            ({"$schema": 5}, "the schema is invalid at /.schema"),
            ({"$schema": {}}, "the schema is invalid at /.schema"),
            ({"$schema": "http://[x"}, "the schema is invalid at /.schema"),
            (
                {"$schema": "http://json-schema.org/draft-03/schema#", "disallow": "nothing"},
                "the schema is invalid: it names a type",
            ),
            ({"$ref": "https://example.com/a.json"}, "https://example.com/a.json, which it does not hold"),
            ({"$ref": "#/$defs/none"}, "which it does not hold"),
            ({"$ref": "#"}, "refers to itself without end"),
            ({"title": "x" * 300_000}, "the schema is too large"),
        ],
    )
    def test_is_refused(self, schema: JsonValue, message: str) -> None:
        with pytest.raises(ExpressionFailed, match=message):
            violations(schema, 1)

    def test_is_stopped_when_its_pattern_explodes(self) -> None:
        with pytest.raises(ExpressionFailed, match="too slow"):
            violations({"pattern": "^(a+)+$"}, "a" * 40 + "!", replace(BOUNDS, seconds_max=0.3))

    def test_is_stopped_when_its_references_multiply(self) -> None:
        twice: dict[str, JsonValue] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
        with pytest.raises(ExpressionFailed, match="too slow"):
            violations({"$ref": "#/$defs/d0", "$defs": {**twice, "d40": {}}}, 1, replace(BOUNDS, seconds_max=0.3))
