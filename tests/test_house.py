"""The plan of the house (DESIGN.md, section 1): which file may import what, and what a file may look like."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from infra.patterns.decider import Command
from tests.sizes import is_fast

HOUSE = Path(__file__).parent.parent
ROOMS = ("events", "infra", "write_side", "projections", "read_side", "sagas")
FOLDERS = {*ROOMS, "tests"}

# What a file may import of ours: the first rule whose pattern fits. A pure file decides, projects or reacts: it also has no clock,
# no randomness and no I/O, and of the packages of others only pydantic.
PURE, EDGE = True, False
PLAN: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("events/*", PURE, ("events",)),
    ("infra/patterns/*", PURE, ("events", "infra.errors", "infra.patterns")),
    ("infra/client/*", EDGE, ()),
    ("infra/*", EDGE, ("events", "infra")),
    ("write_side/__main__.py", EDGE, ("events", "infra", "write_side")),
    ("write_side/api.py", EDGE, ("events", "infra", "write_side")),
    ("write_side/batch.py", EDGE, ("events", "infra", "write_side")),
    ("write_side/command_docs.py", EDGE, ("events", "infra", "write_side")),
    ("write_side/commands_over_nats.py", EDGE, ("events", "infra", "write_side")),
    ("write_side/command_route.py", EDGE, ("events", "infra", "write_side")),
    (
        "write_side/*",
        PURE,
        ("events", "infra.errors", "infra.expressions", "infra.functions", "infra.ids", "infra.patterns", "write_side"),
    ),
    ("projections/__main__.py", EDGE, ("events", "infra", "projections")),
    ("projections/*", PURE, ("events", "infra.errors", "infra.patterns", "projections")),
    ("read_side/*", EDGE, ("events", "infra", "projections", "read_side")),
    ("sagas/__main__.py", EDGE, ("events", "infra", "sagas", "write_side")),
    ("sagas/performing.py", EDGE, ("events", "infra", "sagas", "write_side")),
    ("sagas/*", PURE, ("events", "infra.errors", "infra.expressions", "infra.patterns", "sagas", "write_side")),
)
IMPURE = {"asyncio", "io", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
OPENING = re.compile(r'"""[^\s"]')
"""How nearly all files begin; only the others have to be parsed for it."""
NAMES_REFUSED = ("manager", "helper", "util", "common", "misc")
DEFINITION = re.compile(r"^(?:@|class |def |async def )", re.MULTILINE)
IMPORT = re.compile(r"^[ \t]*(?:from|import) ", re.MULTILINE)
STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")
LINES_MAX, FUNCTION_LINES_MAX, MAIN_LINES_MAX = 300, 70, 40


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


@cache
def statements_of(tree: ast.Module) -> tuple[ast.stmt, ...]:
    """Every statement, however deep; expressions, which are most of a tree, hold none."""
    found: list[ast.stmt] = []
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.stmt):
            found.append(node)
        for name in STATEMENTS:
            nodes += getattr(node, name, ())
    return tuple(found)


@cache
def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (HOUSE / folder).rglob("*.py"))


@cache
def name_of(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


@cache
def _importing(path: Path) -> tuple[ast.stmt, ...]:
    """Every statement that may import. Where nothing below the first definition looks like it, only what stands above is parsed."""
    text, defined = text_of(path), DEFINITION.search(text_of(path))
    if defined is None or IMPORT.search(text, defined.start()):
        return statements_of(tree_of(path))
    return statements_of(ast.parse(text[: defined.start()]))


def imports(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Each import as `file:line`, module, and the names that come from it."""
    for node in _importing(path):
        if isinstance(node, ast.Import):
            yield from ((f"{name_of(path)}:{node.lineno}", alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield f"{name_of(path)}:{node.lineno}", module, [alias.name for alias in node.names]


def is_of_the_client(path: Path) -> bool:
    """Whether it is part of what others install: it imports nothing of ours, and its front door hands out what is theirs."""
    return name_of(path).startswith("infra/client/")


def rule_for(path: Path) -> tuple[bool, tuple[str, ...]]:
    return next((pure, ours) for pattern, pure, ours in PLAN if fnmatchcase(name_of(path), pattern))


def is_of(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def may_import(module: str, pure: bool, ours: tuple[str, ...]) -> bool:
    package = module.partition(".")[0]
    if package in FOLDERS:
        return is_of(module, ours)
    if not pure:
        return True
    return package in {"pydantic", "pydantic_core"} or package in sys.stdlib_module_names - IMPURE


class TestTheHouse:
    def test_has_the_rooms_of_the_plan_and_no_others(self) -> None:
        found = {path.name for path in HOUSE.iterdir() if path.is_dir() and path.name[0] not in "._"}
        assert found - {"dist"} == FOLDERS

    @pytest.mark.parametrize("room", ROOMS)
    def test_imports_only_downward_and_where_it_is_pure_nothing_else(self, room: str) -> None:
        found = [
            f"{where} imports {module}"
            for path in files(room)
            for where, module, _ in imports(path)
            if not may_import(module, *rule_for(path))
        ]
        assert found == []

    def test_lets_the_client_import_only_what_it_declares(self) -> None:
        allowed = sys.stdlib_module_names | {"foldwork", "nats", "httpx", "orjson"}
        found = [
            f"{where} imports {module}"
            for path in files("infra/client")
            for where, module, _ in imports(path)
            if module.partition(".")[0] not in allowed
        ]
        assert found == []

    def test_lets_sagas_know_of_the_write_side_its_commands_only(self) -> None:
        found = [
            f"{where} imports {module}.{name}"
            for path in files("sagas")
            if path.name not in ("__main__.py", "performing.py")
            for where, module, names in imports(path)
            if is_of(module, ("write_side",))
            for name in names
            if not _is_command(module, name)
        ]
        assert found == []

    def test_names_the_eventsourcing_library_in_one_module(self) -> None:
        users = {
            name_of(path)
            for path in files(*ROOMS)
            for _, module, _ in imports(path)
            if is_of(module, ("eventsourcing",))
        }
        assert users == {"infra/adapters/recorder.py"}


def _is_command(module: str, name: str) -> bool:
    found = getattr(importlib.import_module(module), name)
    return isinstance(found, type) and issubclass(found, Command)


class TestAFile:
    def test_is_short_and_so_are_its_functions(self) -> None:
        found = []
        for path in files(*FOLDERS):
            length = len(text_of(path).splitlines())
            if length > LINES_MAX:
                found.append(f"{name_of(path)} has {length} lines")
            if length <= FUNCTION_LINES_MAX or is_fast():
                continue
            for node in statements_of(tree_of(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES_MAX:
                        found.append(f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines")
        assert found == []

    def test_opens_with_what_it_is_for(self) -> None:
        silent = [path for path in files(*FOLDERS) if not OPENING.match(text_of(path))]
        assert [name_of(path) for path in silent if not ast.get_docstring(tree_of(path))] == []

    def test_has_a_name_from_the_field(self) -> None:
        found = [name_of(path) for path in files(*FOLDERS) if any(word in name_of(path) for word in NAMES_REFUSED)]
        assert found == []

    def test_says_nothing_of_the_machine_it_was_written_on(self) -> None:
        assert [name_of(path) for path in files(*FOLDERS) if f"{HOUSE}/" in text_of(path)] == []

    def test_is_only_a_signboard_if_it_is_that_of_a_folder(self) -> None:
        signboards = [path for path in files(*ROOMS) if path.name == "__init__.py" and not is_of_the_client(path)]
        assert {name_of(path.parent) for path in signboards} >= set(ROOMS)
        assert [name_of(path) for path in signboards if len(tree_of(path).body) != 1] == []

    def test_only_wires_if_it_is_that_of_a_process(self) -> None:
        mains = [path for path in files(*ROOMS) if path.name == "__main__.py"]
        assert {name_of(path.parent) for path in mains} == set(ROOMS) - {"events"}
        assert [name_of(path) for path in mains if len(path.read_text().splitlines()) > MAIN_LINES_MAX] == []
