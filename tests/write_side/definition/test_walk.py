"""Ways through a definition."""

import pytest

from tests.write_side.definition.mutations import value_at
from tests.write_side.definition.small_definitions import TEXTS, small_definition
from write_side.definition.reading import read_definition
from write_side.definition.values import Part
from write_side.definition.walk import parts, task_lists, tasks


def resolve(document: object, pointer: str) -> object:
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        document = value_at(document, (int(name) if isinstance(document, list) else name,))
    return document


class TestTheTasks:
    def test_come_depth_first(self) -> None:
        found = [pointer for pointer, _, _ in tasks(read_definition(small_definition("flow")))]
        assert found[:7] == [
            "/do/0/all",
            "/do/0/all/do/0/inner",
            "/do/1/each",
            "/do/1/each/do/0/pat",
            "/do/2/both",
            "/do/2/both/fork/branches/0/left",
            "/do/2/both/fork/branches/1/right",
        ]
        assert "/do/4/attempt/try/1/oops" in found
        assert "/do/4/attempt/catch/do/0/sorry" in found
        assert "/do/7/hear/foreach/do/0/note" in found

    def test_include_those_of_functions_extensions_and_subscriptions(self) -> None:
        whole = [pointer for pointer, _, _ in tasks(read_definition(small_definition("whole")))]
        assert whole == ["/do/0/reserve", "/use/functions/price", "/use/extensions/0/log/before/0/say"]
        calls = [pointer for pointer, _, _ in tasks(read_definition(small_definition("calls")))]
        assert "/do/4/follow/with/subscription/foreach/do/0/keep" in calls

    @pytest.mark.parametrize("name", TEXTS)
    def test_are_where_their_pointers_say(self, name: str) -> None:
        document = small_definition(name)
        definition = read_definition(document)
        for pointer, task_name, task in tasks(definition):
            found = resolve(document, pointer)
            assert pointer.endswith(f"/{task_name}")
            assert isinstance(found, dict)
            assert len(found) == len(task.model_fields_set)
        for pointer, listed in task_lists(definition):
            if not pointer.startswith("/use/extensions"):
                found = resolve(document, pointer)
                assert isinstance(found, list)
                assert len(found) == len(listed)


class TestTheParts:
    @pytest.mark.parametrize("name", TEXTS)
    def test_are_where_their_pointers_say(self, name: str) -> None:
        document = small_definition(name)
        for pointer, part in parts(read_definition(document)):
            found = resolve(document, pointer)
            assert isinstance(found, dict) if isinstance(part, Part) else found == part
