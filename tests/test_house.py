"""The plan of the house: which folder may import what, and what a file may look like."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
ROOMS = ("events", "infra", "write_side", "projections", "read_side", "sagas")
TOP_LEVEL = {*ROOMS, "tests"}
IMPORTS: dict[str, frozenset[str]] = {
    "events": frozenset(),
    "infra": frozenset({"events"}),
    "write_side": frozenset({"events", "infra"}),
    "projections": frozenset({"events", "infra"}),
    "read_side": frozenset({"events", "infra", "projections"}),
    "sagas": frozenset({"events", "infra", "write_side"}),
}
PURE_THIRD_PARTIES = {"events": {"pydantic", "pydantic_core"}}
NAMES_REFUSED = ("manager", "helper", "util", "common", "misc")
LINES_MAX, FUNCTION_LINES_MAX, MAIN_LINES_MAX = 300, 70, 40


def files(folder: str) -> list[Path]:
    return sorted((HOUSE / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def strangers(path: Path, allowed: frozenset[str] | set[str]) -> list[str]:
    """Imports of rooms that this file may not enter, as `file:line imports module`."""
    return [
        f"{path.relative_to(HOUSE)}:{line} imports {module}"
        for line, module in imported(path)
        if (room := module.partition(".")[0]) in TOP_LEVEL and room not in allowed
    ]


class TestTheHouse:
    def test_has_only_the_rooms_of_the_plan(self) -> None:
        found = {path.parent.name for path in HOUSE.glob("*/*.py") if not path.parent.name.startswith(".")}
        assert found <= TOP_LEVEL

    @pytest.mark.parametrize("room", ROOMS)
    def test_imports_only_downward(self, room: str) -> None:
        allowed = {room, *IMPORTS[room]}
        assert [stranger for path in files(room) for stranger in strangers(path, allowed)] == []

    def test_keeps_patterns_pure(self) -> None:
        modules = {
            "asyncio",
            "time",
            "uuid",
            "random",
            "os",
            "psycopg",
            "nats",
            "httpx",
            "infra.ids",
            "infra.adapters",
            "infra.engines",
        }
        pure = [*files("infra/patterns"), *(path for path in files("projections") if path.name != "__main__.py")]
        found = [
            f"{path.relative_to(HOUSE)}:{line} imports {module}"
            for path in pure
            for line, module in imported(path)
            if any(module == refused or module.startswith(refused + ".") for refused in modules)
        ]
        assert found == []

    def test_lets_events_know_nothing_but_pydantic(self) -> None:
        import sys

        known = {*sys.stdlib_module_names, "events", *PURE_THIRD_PARTIES["events"]}
        found = [
            module for path in files("events") for _, module in imported(path) if module.partition(".")[0] not in known
        ]
        assert found == []

    def test_names_the_eventsourcing_library_in_one_module(self) -> None:
        users = {
            path.name
            for room in ROOMS
            for path in files(room)
            for _, m in imported(path)
            if m.startswith("eventsourcing")
        }
        assert users == {"recorder.py"}


class TestAFile:
    @pytest.mark.parametrize("room", ROOMS)
    def test_is_short_and_so_are_its_functions(self, room: str) -> None:
        found = []
        for path in files(room):
            text = path.read_text()
            if len(text.splitlines()) > LINES_MAX:
                found.append(f"{path.relative_to(HOUSE)} has {len(text.splitlines())} lines")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES_MAX:
                        found.append(f"{path.relative_to(HOUSE)}:{node.lineno} {node.name} has {lines} lines")
        assert found == []

    @pytest.mark.parametrize("room", ROOMS)
    def test_opens_with_what_it_is_for(self, room: str) -> None:
        assert [str(path) for path in files(room) if not ast.get_docstring(ast.parse(path.read_text()))] == []

    @pytest.mark.parametrize("room", ROOMS)
    def test_has_a_name_from_the_field(self, room: str) -> None:
        assert [path.name for path in files(room) if any(refused in path.stem for refused in NAMES_REFUSED)] == []


class TestASignboard:
    def test_holds_no_code(self) -> None:
        boards = [path for room in ROOMS for path in files(room) if path.name == "__init__.py"]
        assert [str(path) for path in boards if len(ast.parse(path.read_text()).body) > 1] == []


class TestACompositionRoot:
    def test_is_short(self) -> None:
        roots = [path for room in ROOMS for path in files(room) if path.name == "__main__.py"]
        assert [str(path) for path in roots if len(path.read_text().splitlines()) > MAIN_LINES_MAX] == []
