"""Where documents lie that a definition refers to: functions of catalogs, pages of repositories, and schemas."""

import pytest

from write_side.definition.elsewhere import Resource, function_elsewhere, raw_address, schemas_elsewhere

GITHUB, RAW = (
    "https://github.com/serverlessworkflow/catalog",
    "https://raw.githubusercontent.com/serverlessworkflow/catalog",
)
GITLAB = "https://gitlab.com/group/team/catalog"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOG = "functions/log/1.0.0/function.yaml"


@pytest.mark.parametrize(
    ("page", "raw"),
    [
        (f"{GITHUB}/tree/main/{LOG}", f"{RAW}/refs/heads/main/{LOG}"),
        (f"{GITHUB}/blob/main/{LOG}", f"{RAW}/refs/heads/main/{LOG}"),
        (f"{GITHUB}/blob/{COMMIT}/{LOG}", f"{RAW}/{COMMIT}/{LOG}"),
        (f"{GITHUB}/tree/refs/tags/v1.0.0/{LOG}", f"{RAW}/refs/tags/v1.0.0/{LOG}"),
        (f"{GITHUB}/functions/log@v1.0.0", f"{RAW}/v1.0.0/functions/log/function.yaml"),
        (f"{GITLAB}/-/tree/main/{LOG}", f"{GITLAB}/-/raw/main/{LOG}"),
        (f"https://git.example.com/a/b/-/blob/main/{LOG}", f"https://git.example.com/a/b/-/raw/main/{LOG}"),
        (f"{RAW}/main/{LOG}", f"{RAW}/main/{LOG}"),
        (f"https://example.com/tree/main/{LOG}?a=b", f"https://example.com/tree/main/{LOG}?a=b"),
    ],
)
class TestThePageOfADocument:
    def test_stands_for_the_document_itself(self, page: str, raw: str) -> None:
        assert raw_address(page) == raw


@pytest.mark.parametrize(
    ("root", "function"),
    [
        ("https://example.com/catalog", f"https://example.com/catalog/{LOG}"),
        ("https://example.com", f"https://example.com/{LOG}"),
        ("https://example.com/catalog/?key=1", f"https://example.com/catalog/{LOG}?key=1"),
        (f"{GITHUB}/tree/main", f"{RAW}/refs/heads/main/{LOG}"),
        (f"{GITHUB}/tree/main/below/", f"{RAW}/refs/heads/main/below/{LOG}"),
        (GITHUB, f"{RAW}/HEAD/{LOG}"),
        (f"{GITHUB}.git", f"{RAW}/HEAD/{LOG}"),
        (f"{GITLAB}/-/tree/main", f"{GITLAB}/-/raw/main/{LOG}"),
        (GITLAB, f"{GITLAB}/-/raw/HEAD/{LOG}"),
    ],
)
class TestAFunctionOfACatalog:
    def test_lies_where_the_structure_of_catalogs_says(self, root: str, function: str) -> None:
        assert function_elsewhere("log:1.0.0@ours", {"ours": {"endpoint": root}}) == Resource(function)


class TestAFunction:
    def test_of_a_catalog_is_asked_for_by_the_policy_of_the_catalog(self) -> None:
        policy = {"use": "staff"}
        catalogs = {"ours": {"endpoint": {"uri": "https://example.com/", "authentication": policy}}}
        assert function_elsewhere("log:1.0.0@ours", catalogs) == Resource(f"https://example.com/{LOG}", policy)

    @pytest.mark.parametrize("call", ["http", "double", "log:1.0.0@default", "@ours"])
    def test_that_is_here_lies_nowhere_else(self, call: str) -> None:
        assert function_elsewhere(call, {"ours": {"endpoint": "https://example.com/"}}) is None


class TestSchemas:
    def test_are_those_of_a_task_and_of_its_rounds_each_once(self) -> None:
        one, other = ({"schema": {"resource": {"endpoint": f"https://example.com/{name}"}}} for name in "ab")
        words = {"input": one, "output": {"schema": {"document": {}}}, "foreach": {"output": other, "export": one}}
        assert [each.address[-1] for each in schemas_elsewhere(words)] == ["a", "b"]
