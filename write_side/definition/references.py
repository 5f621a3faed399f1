"""What the schema cannot see: names that lead nowhere, names that stand twice, and expressions that do not end."""

from collections.abc import Collection, Iterator

from write_side.definition.authentication import Authentication, SecretReference
from write_side.definition.document import Definition, Use
from write_side.definition.errors import Catch, Raise
from write_side.definition.tasks import CallFunction, SwitchTask, TaskBase, TaskList, TryTask
from write_side.definition.values import Part, below
from write_side.definition.walk import parts, task_lists, tasks

DIRECTIVES = ("continue", "exit", "end")
CATALOG_OF_THE_RUNTIME = "default"

Place = tuple[str, str]
"""A JSON pointer, and what is wrong there."""


def check_references(definition: Definition, functions: Collection[str] = ()) -> list[dict[str, str]]:
    """What of a definition leads nowhere, as objects of a `pointer` (RFC 6901) and a `detail`; none if all is well.

    `functions` are those that can be called without being declared. Flow directives lead to tasks of their own list, each name
    stands once in a list, a switch has one default case at most (reference of the DSL: Flow Directive, Switch, Use, Runtime expressions).
    """
    found = [*_of_names(definition, functions), *_of_flow(definition)]
    return [{"pointer": pointer, "detail": detail} for pointer, detail in found]


def _of_names(definition: Definition, functions: Collection[str]) -> Iterator[Place]:
    for pointer, part in parts(definition):
        if isinstance(part, str):
            if part.lstrip().startswith("${") and "}" not in part:
                yield pointer, "is a runtime expression without its closing brace"
        else:
            yield from _of_part(pointer, part, definition.use, functions)


def _of_part(pointer: str, part: Part, use: Use, functions: Collection[str]) -> Iterator[Place]:
    match part:
        case Definition(timeout=str(name)):
            yield from _declared(below(pointer, "timeout"), "timeout", name, use.timeouts)
        case Authentication(use=str(name)):
            yield from _declared(below(pointer, "use"), "authentication", name, use.authentications)
        case SecretReference(use=name):
            yield from _declared(below(pointer, "use"), "secret", name, use.secrets)
        case Catch(retry=str(name)):
            yield from _declared(below(pointer, "retry"), "retry policy", name, use.retries)
        case Raise(error=str(name)):
            yield from _declared(below(pointer, "error"), "error", name, use.errors)
        case TaskBase():
            if isinstance(part.timeout, str):
                yield from _declared(below(pointer, "timeout"), "timeout", part.timeout, use.timeouts)
            if isinstance(part, CallFunction):
                yield from _of_call(below(pointer, "call"), part.call, use, functions)


def _of_call(pointer: str, call: str, use: Use, functions: Collection[str]) -> Iterator[Place]:
    """A function is called by its name, as `name:version@catalog`, or by its address."""
    if call in functions or "://" in call:
        return
    function, at, catalog = call.rpartition("@")
    if not at:
        yield from _declared(pointer, "function", call, use.functions)
    elif not all(function.partition(":")):
        yield pointer, "must have a version to be found in a catalog, like name:1.0.0@catalog"
    elif catalog != CATALOG_OF_THE_RUNTIME:
        yield from _declared(pointer, "catalog", catalog, use.catalogs)


def _declared(pointer: str, what: str, name: str, known: Collection[str]) -> Iterator[Place]:
    if name not in known:
        yield pointer, f"there is no {what} called {name!r}"


def _of_flow(definition: Definition) -> Iterator[Place]:
    for pointer, listed in task_lists(definition):
        yield from _of_list(pointer, listed)
    for pointer, _, task in tasks(definition):
        if isinstance(task, SwitchTask):
            yield from _of_cases(pointer, task)


def _of_list(pointer: str, listed: TaskList) -> Iterator[Place]:
    names = {name for entry in listed for name in entry}
    seen: set[str] = set()
    for place, entry in enumerate(listed):
        for name, task in entry.items():
            if name in seen:
                yield below(pointer, place, name), f"there is a task called {name!r} before it in this list"
            seen.add(name)
            for directive, where in _directives(task, below(pointer, place, name)):
                if directive not in names and directive not in DIRECTIVES:
                    yield where, f"there is no task called {directive!r} in this list"


def _directives(task: TaskBase, pointer: str) -> Iterator[tuple[str, str]]:
    if task.then is not None:
        yield task.then, below(pointer, "then")
    if isinstance(task, TryTask) and task.catch.then is not None:
        yield task.catch.then, below(pointer, "catch", "then")
    if isinstance(task, SwitchTask):
        for place, entry in enumerate(task.switch):
            for name, case in entry.items():
                yield case.then, below(pointer, "switch", place, name, "then")


def _of_cases(pointer: str, task: SwitchTask) -> Iterator[Place]:
    defaults = [
        below(pointer, "switch", place, name)
        for place, entry in enumerate(task.switch)
        for name, case in entry.items()
        if case.when is None
    ]
    for extra in defaults[1:]:
        yield extra, "there is a default case before it"
