"""Ways through a definition: its tasks depth first, its lists of tasks, and all of its parts, each with the JSON pointer to it."""

from collections.abc import Iterator, Sequence
from functools import cache

from write_side.definition.calls import AsyncApiArguments
from write_side.definition.document import Definition
from write_side.definition.tasks import (
    CallAsyncApi,
    DoTask,
    ForkTask,
    ForTask,
    ListenTask,
    TaskBase,
    TaskList,
    TryTask,
)
from write_side.definition.values import Part, below, json_name


def tasks(definition: Definition) -> Iterator[tuple[str, str, TaskBase]]:
    """Every task as its pointer, its name and itself, depth first; those of functions and extensions come after the workflow's own."""
    yield from _tasks_of("/do", definition.do)
    for name, function in definition.use.functions.items():
        yield from _with_those_below(below("/use/functions", name), name, function)
    for pointer, listed in _lists_of_extensions(definition):
        yield from _tasks_of(pointer, listed)


def task_lists(definition: Definition) -> Iterator[tuple[str, TaskList]]:
    """Every list of tasks with its pointer: a directive can name the tasks of its own list only."""
    yield "/do", definition.do
    yield from _lists_of_extensions(definition)
    for pointer, _, task in tasks(definition):
        yield from lists_below(pointer, task)


def lists_below(pointer: str, task: TaskBase) -> Iterator[tuple[str, TaskList]]:
    """The lists of tasks that a task holds itself, in the order in which they may be done."""
    match task:
        case DoTask() | ForTask():
            yield pointer + "/do", task.do
        case ForkTask():
            yield pointer + "/fork/branches", task.fork.branches
        case TryTask():
            yield pointer + "/try", task.try_
            if task.catch.do is not None:
                yield pointer + "/catch/do", task.catch.do
        case ListenTask() if task.foreach and task.foreach.do is not None:
            yield pointer + "/foreach/do", task.foreach.do
        case CallAsyncApi(with_=AsyncApiArguments(subscription=subscription)) if subscription:
            if subscription.foreach and subscription.foreach.do is not None:
                yield pointer + "/with/subscription/foreach/do", subscription.foreach.do


def parts(definition: Definition) -> Sequence[tuple[str, Part | str]]:
    """Every object of the language and every text in a definition, from the outside in, without those that the document leaves out."""
    found: list[tuple[str, Part | str]] = []
    _gather(definition, "", found)
    return found


def _gather(value: object, pointer: str, found: list[tuple[str, Part | str]]) -> None:
    """Into a list: to yield them through every level takes several times longer."""
    if isinstance(value, str):
        found.append((pointer, value))
    elif isinstance(value, Part):
        found.append((pointer, value))
        given = value.model_fields_set
        for name, last in _fields_of(type(value)):
            if name in given:
                _gather(getattr(value, name), pointer + last, found)
        _gather(value.model_extra, pointer, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _gather(item, below(pointer, key), found)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _gather(item, f"{pointer}/{place}", found)


@cache
def _fields_of(kind: type[Part]) -> Sequence[tuple[str, str]]:
    """The fields of a class, each with the end of the pointer to it."""
    return [(name, below("", json_name(name))) for name in kind.model_fields]


def _lists_of_extensions(definition: Definition) -> Iterator[tuple[str, TaskList]]:
    for place, entry in enumerate(definition.use.extensions):
        for name, extension in entry.items():
            pointer = below("/use/extensions", place, name)
            yield pointer + "/before", extension.before
            yield pointer + "/after", extension.after


def _tasks_of(pointer: str, listed: TaskList) -> Iterator[tuple[str, str, TaskBase]]:
    for place, entry in enumerate(listed):
        for name, task in entry.items():
            yield from _with_those_below(below(pointer, place, name), name, task)


def _with_those_below(pointer: str, name: str, task: TaskBase) -> Iterator[tuple[str, str, TaskBase]]:
    yield pointer, name, task
    for list_pointer, listed in lists_below(pointer, task):
        yield from _tasks_of(list_pointer, listed)
