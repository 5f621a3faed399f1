"""The OpenAPI document: as exact as the validation is."""

from typing import Annotated

import orjson
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, Reply, components, document, problems
from infra.adapters.web_parameters import Parameter
from infra.adapters.web_request import Answer, Request


class Form(BaseModel):
    """A form."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    text: str
    code: Annotated[str, Field(pattern="^[a-z]$")]
    labels: dict[Annotated[str, Field(pattern="^[a-z]$")], str]
    anything: JsonValue


FORM = components([Form], "validation")["Form"]["properties"]


class TestTheSchemaOfABody:
    def test_excludes_nul_from_texts(self) -> None:
        assert FORM["text"]["not"] == {"pattern": r"\u0000"}

    def test_excludes_blank_names(self) -> None:
        assert FORM["name"]["pattern"] == r"\S"

    def test_keeps_a_pattern_as_it_is(self) -> None:
        assert FORM["code"]["pattern"] == "^[a-z]$"
        assert "not" not in FORM["code"]

    def test_excludes_keys_that_do_not_match(self) -> None:
        assert FORM["labels"]["propertyNames"] == {"pattern": "^[a-z]$"}
        assert "patternProperties" not in FORM["labels"]

    def test_says_what_json_values_are(self) -> None:
        assert {"type": "null"} in components([Form], "validation")["JsonValue"]["anyOf"]


class TestTheSchemaOfAnAnswer:
    def test_promises_nothing_about_texts(self) -> None:
        assert "not" not in components([Form], "serialization")["Form"]["properties"]["text"]


class TestTheDocument:
    def test_describes_each_route_that_has_an_operation(self) -> None:
        async def endpoint(_: Request) -> Answer:
            return Answer(200, b"")

        name = Parameter("name", "path", {"type": "string"}, "Whose.")
        kinds = Parameter("kind", "query", {"enum": ["a"]}, "Which.", repeated=True)
        replies = {
            200: Reply("Done.", {"type": "null"}, headers={"Foldwork-Position": {"type": "integer"}})
        } | problems(404, 503)
        operation = Operation(
            "hello", "greetings", "Say hello", replies, (name, kinds), {"application/json": {}}, False
        )
        routes = [Route("POST", "/hello/{name}", endpoint, operation), Route("GET", "/hidden", endpoint)]
        found = orjson.loads(document("Title", "Text", routes, {"Form": {}}))
        assert list(found["paths"]) == ["/hello/{name}"]
        described = found["paths"]["/hello/{name}"]["post"]
        assert described["parameters"][0] == {
            "name": "name",
            "in": "path",
            "description": "Whose.",
            "schema": {"type": "string"},
            "required": True,
        }
        assert described["parameters"][1]["schema"] == {"type": "array", "items": {"enum": ["a"]}, "minItems": 1}
        assert described["requestBody"]["required"] is False
        assert set(described["responses"]) == {"200", "404", "503"}
        assert described["responses"]["200"]["headers"]["Foldwork-Position"]["required"] is True
        assert "Retry-After" in described["responses"]["503"]["headers"]
        assert "application/problem+json" in described["responses"]["404"]["content"]
        assert set(found["components"]["schemas"]) == {"Problem", "Form"}
