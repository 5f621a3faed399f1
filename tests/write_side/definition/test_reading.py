"""Reading a definition: what comes out, and what a rejection says."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from tests.write_side.definition.mutations import value_at
from tests.write_side.definition.small_definitions import TEXTS, small_definition
from write_side.definition.reading import ERRORS_LISTED_MAX, InvalidDefinition, pointer, read_definition
from write_side.definition.tasks import CallFunction, CallHttp, ForTask, SetTask

HEAD = {"dsl": "1.0.3", "namespace": "shop", "name": "a", "version": "1.0.0"}


def errors_of(document: object) -> list[dict[str, str]]:
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(document)
    return caught.value.details["errors"]


def errors_of_task(task: object) -> list[tuple[str, str]]:
    found = errors_of({"document": HEAD, "do": [{"a": task}]})
    return [(error["pointer"].removeprefix("/do/0/a"), error["detail"]) for error in found]


class TestADefinition:
    @pytest.mark.parametrize("name", TEXTS)
    def test_is_read_with_all_that_it_may_have(self, name: str) -> None:
        assert read_definition(small_definition(name)).document.name == name

    def test_is_frozen(self) -> None:
        definition = read_definition(small_definition("least"))
        with pytest.raises(ValidationError):
            definition.timeout = "short"

    def test_has_the_defaults_of_the_language(self) -> None:
        task = {"for": {"in": ".a"}, "do": []}
        definition = read_definition({"document": HEAD, "do": [{"a": task}]})
        read = definition.do[0]["a"]
        assert isinstance(read, ForTask)
        assert (read.for_.each, read.for_.at, definition.evaluate.language) == ("item", "index", "jq")

    def test_keeps_what_is_added_where_that_is_allowed(self) -> None:
        assert read_definition(small_definition("whole")).model_extra == {"colour": "green"}

    def test_tells_calls_apart_by_what_they_call(self) -> None:
        listed = read_definition(small_definition("calls")).do
        assert isinstance(listed[0]["get"], CallHttp)
        assert isinstance(listed[-1]["own"], CallFunction)

    def test_takes_a_for_task_for_one_though_it_has_a_do(self) -> None:
        assert isinstance(read_definition(small_definition("flow")).do[1]["each"], ForTask)

    def test_takes_a_whole_number_however_it_is_written(self) -> None:
        assert read_definition(small_definition("whole")).use.errors["soldOut"].status == 409

    def test_tells_null_from_nothing_where_anything_may_stand(self) -> None:
        call = read_definition(small_definition("calls")).do[0]["get"]
        assert isinstance(call, CallHttp)
        assert call.with_.given("body", "endpoint") == ["body", "endpoint"]
        task = read_definition({"document": HEAD, "do": [{"a": {"set": {"b": None}}}]}).do[0]["a"]
        assert isinstance(task, SetTask)
        assert task.set == {"b": None}


class TestARejection:
    @pytest.mark.parametrize("document", [None, [], "do", 1])
    def test_is_given_to_what_is_no_object(self, document: object) -> None:
        assert errors_of(document) == [{"pointer": "", "detail": "must be an object"}]

    def test_is_that_of_a_request_that_cannot_be_accepted(self) -> None:
        assert (InvalidDefinition.status, InvalidDefinition().code) == (422, "invalid-definition")

    def test_names_each_place_that_is_wrong(self) -> None:
        assert errors_of({"document": {**HEAD, "name": "a b", "colour": 1}}) == [
            {
                "pointer": "/document/name",
                "detail": "must be 1 to 63 letters, digits and hyphens, beginning and ending with none of the latter",
            },
            {"pointer": "/document/colour", "detail": "there is no such field"},
            {"pointer": "/do", "detail": "is required"},
        ]

    def test_lists_a_bounded_number_of_them(self) -> None:
        assert len(errors_of({"document": HEAD, "do": [{"a": 1}] * 300})) == ERRORS_LISTED_MAX

    def test_escapes_names_in_pointers(self) -> None:
        assert errors_of({"document": HEAD, "do": [{"a/b~c": {"wait": 1}}]})[0]["pointer"] == "/do/0/a~1b~0c/wait"
        assert pointer(("do", 0, "\x00http", "a/b")) == "/do/0/a~1b"

    @pytest.mark.parametrize(
        ("task", "expected"),
        [
            (1, [("", "must be an object with one of call")]),
            ({}, [("", "must be an object with one of call")]),
            ({"set": {}}, [("/set", "must not be empty")]),
            ({"set": {"a": 1}, "wait": "PT1S"}, [("/set", "there is no such field")]),
            ({"wait": "soon"}, [("/wait", "must be an ISO 8601 duration like PT1M30S, or a runtime expression")]),
            ({"wait": {"seconds": True}}, [("/wait/seconds", "must be a whole number")]),
            ({"call": 1}, [("/call", "must be text")]),
            ({"call": "http"}, [("/with", "is required")]),
            ({"call": "http", "with": {"endpoint": "https://a.example"}}, [("/with/method", "is required")]),
            ({"call": "grpc", "with": {}}, [("/with/proto", ""), ("/with/service", ""), ("/with/method", "")]),
            ({"call": "own", "with": [], "if": None}, [("/if", "must not be null"), ("/with", "must be an object")]),
            ({"run": {"shell": {}, "await": 1}}, [("/run/await", "must be true or false"), ("/run/shell/command", "")]),
            ({"run": {}}, [("/run", "must have exactly one of container, script, shell, workflow")]),
            ({"listen": {"to": {"any": [{}]}}}, [("/listen/to/any/0/with", "is required")]),
            ({"listen": {"to": {"all": [], "any": []}}}, [("/listen/to", "must have exactly one of all, any, one")]),
            ({"switch": []}, [("/switch", "must not be empty")]),
            ({"do": [{"b": {"wait": "PT1S"}, "c": {"wait": "PT1S"}}]}, [("/do/0", "must have exactly 1 field")]),
            ({"do": {}}, [("/do", "must be a list")]),
            ({"try": [], "catch": {"retry": {"backoff": {}}}}, [("/catch/retry/backoff", "must have exactly one of")]),
            ({"raise": {"error": 1}}, [("/raise/error", "must be an error, or the name of one")]),
            ({"fork": {"branches": [], "compete": "yes"}}, [("/fork/compete", "must be true or false")]),
        ],
    )
    def test_speaks_of_the_kind_of_task_that_is_there(self, task: object, expected: list[tuple[str, str]]) -> None:
        found = errors_of_task(task)
        assert len(found) == len(expected)
        for (where, said), (where_expected, begin) in zip(found, expected, strict=True):
            assert where == where_expected or (begin == "there is no such field" and said == begin)
            assert said.startswith(begin)


class TestEachObject:
    """What is closed by the schema is closed here, and what is open is open."""

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("whole", ("document",)),
            ("whole", ("use",)),
            ("whole", ("use", "authentications", "staff", "basic")),
            ("whole", ("use", "errors", "soldOut")),
            ("whole", ("use", "retries", "often", "limit", "attempt")),
            ("whole", ("schedule", "on")),
            ("whole", ("timeout", "after")),
            ("whole", ("do", 0, "reserve")),
            ("calls", ("do", 0, "get", "with")),
            ("calls", ("do", 3, "publish", "with", "authentication", "oauth2")),
            ("calls", ("do", 4, "follow", "with", "subscription", "consume")),
            ("flow", ("do", 3, "choose", "switch", 0, "dog")),
            ("flow", ("do", 4, "attempt", "catch")),
            ("flow", ("do", 7, "hear", "listen", "to", "all", 0)),
            ("runs", ("do", 0, "box", "run", "container", "lifetime")),
        ],
    )
    def test_is_closed(self, name: str, path: Sequence[str | int]) -> None:
        document = with_one_more(name, path)
        assert errors_of(document) == [
            {"pointer": "".join(f"/{step}" for step in (*path, "unheardOf")), "detail": "there is no such field"}
        ]

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("whole", ()),
            ("whole", ("do", 0, "reserve", "metadata")),
            ("whole", ("use", "authentications", "staff")),
            ("calls", ("do", 3, "publish", "with", "authentication", "oauth2", "endpoints")),
            ("calls", ("do", 6, "search", "with", "transport", "stdio")),
            ("calls", ("do", 8, "own", "with")),
            ("flow", ("do", 4, "attempt", "catch", "errors", "with")),
            ("flow", ("do", 6, "tell", "emit", "event", "with")),
            ("flow", ("do", 7, "hear", "listen", "to", "all", 0, "correlate", "order")),
        ],
    )
    def test_is_open(self, name: str, path: Sequence[str | int]) -> None:
        read_definition(with_one_more(name, path))


def with_one_more(name: str, path: Sequence[str | int]) -> dict[str, Any]:
    document = small_definition(name)
    value_at(document, tuple(path))["unheardOf"] = 1
    return document
