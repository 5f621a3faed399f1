"""Simple expansion of URI templates."""

import pytest
from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.uri_template import expand


class TestATemplate:
    @pytest.mark.parametrize(
        ("value", "uri"),
        [
            ({"pet.id": 1}, "/v2/1"),
            ({"pet.id": "a b/ü?&"}, "/v2/a%20b%2F%C3%BC%3F%26"),
            ({"pet.id": True}, "/v2/true"),
            ({"pet.id": None}, "/v2/"),
            ({"pet": {"id": 1}}, "/v2/"),
            ({}, "/v2/"),
            (None, "/v2/"),
            ([1], "/v2/"),
            ({"pet.id": 1.5}, "/v2/1.5"),
            ({"pet.id": "{x}"}, "/v2/%7Bx%7D"),
        ],
    )
    def test_takes_top_level_properties(self, value: JsonValue, uri: str) -> None:
        assert expand("/v2/{pet.id}", value) == uri

    @pytest.mark.parametrize("value", [{}, [], [1], {"a": 1}])
    def test_takes_no_objects_and_lists(self, value: JsonValue) -> None:
        with pytest.raises(ExpressionFailed, match="a URI takes only"):
            expand("/{a}", {"a": value})
