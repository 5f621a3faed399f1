"""Python functions that workflows can call by name: installed packages offer them by the entry point group `foldwork.functions`.

A function takes the call's arguments by name and returns JSON; it may be async. One that is not runs in a thread. A program that runs
Foldwork inside itself, as a test or a benchmark does, offers its own by `register`.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

GROUP = "foldwork.functions"
DEFAULT_CATALOG = "@default"
"""What stands behind the name and the version of a function that is not of a catalog elsewhere."""
Function = Callable[..., Any]

THREADS_MAX = 64
"""How many functions that are not async run at once. They may take long, and names of hosts are looked up in the loop's own few threads."""

_EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType({"grpc": ("grpc", "grpc_tools")})
"""The functions of the language that need an optional extra of this package, by its name, and what the extra installs."""

_registered: dict[str, Function] = {}


def register(name: str, function: Function) -> None:
    """Offer a function in this process only; it goes before an installed one of the same name."""
    _registered[name] = function


@cache
def _offered() -> frozenset[str]:
    return frozenset(point.name for point in entry_points(group=GROUP))


@cache
def _loaded() -> Mapping[str, Function]:
    return {point.name: point.load() for point in entry_points(group=GROUP)}


def function_of(functions: Mapping[str, Function], name: str) -> Function | None:
    """The function that a call of this name means; `name:version@default` is the one that is offered as `name:version`."""
    return functions.get(name) or functions.get(name.removesuffix(DEFAULT_CATALOG))


def function_names() -> frozenset[str]:
    """The names of the functions that workflows can call, with those of the language whose extra is installed."""
    return _offered().union(_registered).difference(_EXTRAS).union(filter(has_extra, _EXTRAS))


def has_extra(name: str) -> bool:
    """Whether what an extra installs is there; loads none of it."""
    return all(find_spec(package) is not None for package in _EXTRAS[name])


def installed() -> Mapping[str, Function]:
    """The functions that workflows can call, by name."""
    return {**_loaded(), **_registered}


async def call(function: Function, arguments: Mapping[str, JsonValue]) -> JsonValue:
    """What a function returns. Raises whatever it raises."""
    if inspect.iscoroutinefunction(function):
        found: JsonValue = await function(**arguments)
        return found
    called = partial(copy_context().run, function, **arguments)
    returned: JsonValue = await asyncio.get_running_loop().run_in_executor(_threads(), called)
    return returned


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS_MAX, "function")
