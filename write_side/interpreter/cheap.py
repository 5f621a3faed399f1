"""Which definitions cost next to nothing to interpret, whatever their data is."""

from pydantic import JsonValue

from infra.expressions.path import path_of
from infra.expressions.template import is_expression, strip

_EXPRESSIONS = frozenset({"if", "when", "while", "in", "from", "as"})
"""Words of the language behind which a text is an expression, with or without its braces."""
_COSTLY = frozenset({"schema", "catch", "listen", "extensions", "evaluate", "input"})
"""Words behind which something is checked, matched, or evaluated in another way; `input` also where a task has one."""


def is_cheap(part: JsonValue) -> bool:
    """Whether all expressions of a definition, or of a part of one, are paths. In doubt it is not."""
    if isinstance(part, dict):
        return all(_is_cheap_behind(word, value) for word, value in part.items())
    if isinstance(part, list):
        return all(is_cheap(each) for each in part)
    return not isinstance(part, str) or "${" not in part or (is_expression(part) and path_of(strip(part)) is not None)


def _is_cheap_behind(word: str, value: JsonValue) -> bool:
    if word in _COSTLY:
        return False
    if word in _EXPRESSIONS and isinstance(value, str):
        return path_of(strip(value)) is not None
    return is_cheap(value)
