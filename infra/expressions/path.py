"""The plainest jq programs, which need no jq: `.`, `.a.b`, `$name` and `$name.a.b`; most expressions are of these."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pydantic import JsonValue

PATHS_MAX = 4_096
"""Programs about which it is remembered what they are."""
NOT_HERE: Final = object()
"""Stands for what only jq can say: an error, mostly."""

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_PATH = re.compile(rf"(?:\$({_NAME}))?((?:\.{_NAME})*)")


@lru_cache(maxsize=PATHS_MAX)
def path_of(program: str) -> tuple[str | None, tuple[str, ...]] | None:
    """The variable that a program begins with, if it does, and the fields that it goes down; None for any other program."""
    bare = program.strip()
    if bare == ".":
        return None, ()
    found = _PATH.fullmatch(bare)
    return (found[1], tuple(found[2].split(".")[1:])) if found and bare else None


def follow(
    path: tuple[str | None, tuple[str, ...]], value: JsonValue, variables: Mapping[str, JsonValue]
) -> JsonValue | object:
    """What lies at the end of a path, as jq has it; NOT_HERE where jq would fail, or has more to say."""
    variable, fields = path
    found = value
    if variable is not None:
        try:
            found = variables[variable]
        except KeyError:
            return NOT_HERE
    for field in fields:
        if isinstance(found, dict):
            found = found.get(field)
        elif found is not None:
            return NOT_HERE
    return found
