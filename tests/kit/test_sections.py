"""The table of sections is whole: no section of the reference that demands something is missing, and every test that it names is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.kit.sections import SECTIONS, TABLES
from tests.kit.specification import ABSENT, specification

TESTS = Path(__file__).parent.parent
DEMANDS = re.compile(r"\b(must|should|may only|defaults?|required)\b|\| `yes` \|", re.IGNORECASE)
INNER = {"Properties", "Examples"}
# What the specification says about itself, and what it only leads to: sections that say in detail what must be are in the table.
APART = {
    "Abstract",
    "Components",
    "Custom and Non-Standard Interactions",
    "Design",
    "External Resources",
    "Interoperability",
    "Motivation",
    "Priority of Constituencies",
    "Scheduling",
    "Table of Contents",
}
CASES = {"Case", "Refused", "Statement"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def cases_of(path: Path) -> frozenset[tuple[str, str]]:
    """Section and statement of each case in a file."""
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) and len(node.args) > 1]
    named = [node.args[:2] for node in calls if isinstance(node.func, ast.Name) and node.func.id in CASES]
    return frozenset(
        (str(section.value), str(says.value))
        for section, says in named
        if isinstance(section, ast.Constant) and isinstance(says, ast.Constant) and says.value
    )


@cache
def functions_of(path: Path) -> frozenset[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree_of(path)) if isinstance(node, functions))


@cache
def file_of(name: str) -> Path | None:
    return next(TESTS.rglob(name), None)


def is_there(section: str, statement: str, test: str) -> bool:
    name, _, function = test.partition("::")
    path = file_of(name)
    if path is None:
        return False
    if not function:
        return (section, statement) in cases_of(path)
    return function in functions_of(path) or function in kit_scenarios(name)


@cache
def kit_scenarios(name: str) -> frozenset[str]:
    """The tests that are made of the kit's scenarios; they are in no file of ours."""
    folder = specification()
    if name != "test_conformance.py" or folder is None:
        return frozenset()
    texts = [path.read_text() for path in folder.glob("ctk/features/*.feature")]
    titles = [title for text in texts for title in re.findall(r"^ *Scenario: (.+)$", text, re.MULTILINE)]
    return frozenset("test_" + re.sub(r"\W", "", title.strip().replace(" ", "_")).lower() for title in titles)


def demanding(text: str) -> Iterator[str]:
    """The headings under which something is demanded or holds by default."""
    heading = ""
    without_examples = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in without_examples.splitlines():
        if found := re.match(r"#+ (.+)", line):
            title = found[1].strip()
            heading = heading if title in INNER else title
        elif DEMANDS.search(line):
            yield heading


FILES_OF_CASES = [*(TESTS / "write_side").glob("test_dsl_*.py"), *(TESTS / "kit").glob("statements_of_*.py")]


class TestTheTableOfSections:
    @pytest.mark.data
    @pytest.mark.parametrize("page", ["dsl-reference.md", "dsl.md"])
    def test_has_every_section_that_demands_something(self, page: str) -> None:
        folder = specification()
        if folder is None:
            pytest.skip(ABSENT)
        found = set(demanding((folder / page).read_text()))
        assert sorted(found - SECTIONS.keys() - APART) == []

    @pytest.mark.data
    def test_names_tests_that_there_are(self) -> None:
        if specification() is None:
            pytest.skip(ABSENT)
        named = [(section, *each) for section, tests in SECTIONS.items() for each in tests.items()]
        assert [each for each in named if not is_there(*each)] == []

    def test_has_every_case(self) -> None:
        cases = set().union(*(cases_of(path) for path in FILES_OF_CASES))
        assert sorted(cases - {(section, says) for section, tests in SECTIONS.items() for says in tests}) == []

    def test_has_each_section_once(self) -> None:
        assert sum(len(table) for table in TABLES) == len(SECTIONS)
