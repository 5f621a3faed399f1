"""Names in a definition that lead nowhere."""

from typing import Any

import pytest

from tests.write_side.definition.mutations import value_at
from tests.write_side.definition.small_definitions import small_definition
from write_side.definition.reading import read_definition
from write_side.definition.references import check_references

SET = {"set": {"a": 1}}


def definition_of(*tasks: dict[str, Any], **fields: Any) -> Any:
    return read_definition({**small_definition("least"), "do": list(tasks), **fields})


def found(*tasks: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    return [(each["pointer"], each["detail"]) for each in check_references(definition_of(*tasks, **fields))]


class TestADefinition:
    def test_is_sound_if_all_its_names_lead_somewhere(self) -> None:
        assert check_references(read_definition(small_definition("whole"))) == []
        assert check_references(read_definition(small_definition("runs"))) == []

    @pytest.mark.parametrize(
        ("path", "what"),
        [
            (("timeout",), "timeout"),
            (("do", 0, "reserve", "timeout"), "timeout"),
            (("use", "catalogs", "ours", "endpoint", "authentication", "use"), "authentication"),
            (("use", "authentications", "staff", "basic"), "secret"),
        ],
    )
    def test_says_which_name_is_not_declared(self, path: tuple[str | int, ...], what: str) -> None:
        document = small_definition("whole")
        given = {"use": "nobody"} if what == "secret" else "nobody"
        value_at(document, path[:-1])[path[-1]] = given
        steps = (*path, "use") if what == "secret" else path
        assert check_references(read_definition(document)) == [
            {"pointer": "".join(f"/{step}" for step in steps), "detail": f"there is no {what} called 'nobody'"}
        ]

    def test_says_which_error_and_which_retry_policy_is_not_declared(self) -> None:
        assert {detail for _, detail in found(*_of("flow"))} == {
            "there is no error called 'soldOut'",
            "there is no retry policy called 'often'",
        }

    def test_says_which_expression_does_not_end(self) -> None:
        assert found({"a": {"set": {"b": ["${ .c", "${HOME}/bin", "${ .c }"]}}}) == [
            ("/do/0/a/set/b/0", "is a runtime expression without its closing brace")
        ]


def _of(name: str) -> list[dict[str, Any]]:
    listed = small_definition(name)["do"]
    assert isinstance(listed, list)
    return listed


class TestAFunction:
    @pytest.mark.parametrize(
        "call", ["price", "log:1.0.0@default", "log:1.0.0@ours", "https://a.example/log.yaml", "job"]
    )
    def test_is_called_by_its_name_by_its_catalog_or_by_its_address(self, call: str) -> None:
        use = {"functions": {"price": SET}, "catalogs": {"ours": {"endpoint": "https://a.example"}}}
        assert check_references(definition_of({"a": {"call": call}}, use=use), functions={"job"}) == []

    @pytest.mark.parametrize(
        ("call", "detail"),
        [
            ("job", "there is no function called 'job'"),
            ("log:1.0.0@theirs", "there is no catalog called 'theirs'"),
            ("log@default", "must have a version to be found in a catalog, like name:1.0.0@catalog"),
        ],
    )
    def test_is_not_found_otherwise(self, call: str, detail: str) -> None:
        assert found({"a": {"call": call}}) == [("/do/0/a/call", detail)]


class TestAFlowDirective:
    @pytest.mark.parametrize("then", ["continue", "exit", "end", "b"])
    def test_leads_to_a_task_of_its_list(self, then: str) -> None:
        assert found({"a": {**SET, "then": then}}, {"b": SET}) == []

    def test_does_not_lead_to_another_list(self) -> None:
        assert found({"a": {"do": [{"b": {**SET, "then": "a"}}], "then": "b"}}) == [
            ("/do/0/a/then", "there is no task called 'b' in this list"),
            ("/do/0/a/do/0/b/then", "there is no task called 'a' in this list"),
        ]

    def test_is_looked_at_in_a_switch_and_in_a_catch(self) -> None:
        switch = {"a": {"switch": [{"x": {"when": ".x", "then": "c"}}, {"y": {"then": "b"}}]}}
        assert found(switch, {"b": {"try": [], "catch": {"then": "c"}}}) == [
            ("/do/0/a/switch/0/x/then", "there is no task called 'c' in this list"),
            ("/do/1/b/catch/then", "there is no task called 'c' in this list"),
        ]


class TestAListOfTasks:
    def test_has_each_name_once(self) -> None:
        assert found({"a": SET}, {"b": {"do": [{"a": SET}]}}, {"a": SET}) == [
            ("/do/2/a", "there is a task called 'a' before it in this list")
        ]


class TestASwitch:
    def test_has_one_default_case(self) -> None:
        assert found({"a": {"switch": [{"x": {"then": "end"}}, {"y": {"then": "exit"}}]}}) == [
            ("/do/0/a/switch/1/y", "there is a default case before it")
        ]
