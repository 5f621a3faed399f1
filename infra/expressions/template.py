"""Texts of the workflow language that hold expressions: `${ program }`, alone or inside a longer text.

Only the template is walked: a value that comes from data is never looked at for expressions.
"""

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

import orjson
from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.lexer import end_of, variables_of
from infra.expressions.program import compile_only

# Inside a longer text a blank must follow: `${HOME}` is the shell's.
_PART = re.compile(r"\$\{(?=\s)")


TEXTS_MAX = 4_096
"""Texts of definitions about which it is remembered what they are."""


@lru_cache(maxsize=TEXTS_MAX)
def is_expression(text: str) -> bool:
    """Whether the whole text is `${ program }`; blanks around it do not count."""
    bare = text.strip()
    if not (bare.startswith("${") and bare.endswith("}")):
        return False
    try:
        return end_of(bare, 2) == len(bare) - 1
    except ExpressionFailed:
        return True  # an expression with an error, which its evaluation names


def strip(text: str) -> str:
    """The program inside the braces, or the text itself if it has none."""
    return text.strip()[2:-1].strip() if is_expression(text) else text


def fill(value: JsonValue, evaluate_one: Callable[[str], JsonValue], loose: bool = False) -> JsonValue:
    """A copy of a template with its expressions replaced by their values; raises what `evaluate_one` raises.

    A text that is wholly an expression becomes its value, of any type; an expression inside a longer text becomes text (null: none, a value
    that is not text: compact JSON). Keys are left alone. With `loose` every text is evaluated, and is itself if that fails.
    """
    if isinstance(value, str):
        return _loose(value, evaluate_one) if loose else _strict(value, evaluate_one)
    if isinstance(value, dict):
        return {key: fill(item, evaluate_one, loose) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, evaluate_one, loose) for item in value]
    return value


def programs(value: JsonValue) -> Iterator[str]:
    """All programs of a template, without their braces; ExpressionFailed if one is not closed."""
    if isinstance(value, str):
        if is_expression(value):
            yield strip(value)
        else:
            yield from (text for is_program, text in _pieces(value) if is_program)
    elif isinstance(value, dict):
        for item in value.values():
            yield from programs(item)
    elif isinstance(value, list):
        for item in value:
            yield from programs(item)


def mentioned(value: JsonValue, name: str, loose: bool = False) -> bool:
    """Whether any expression of a template mentions `$name`; in doubt (a syntax error) yes if `name` occurs in the text.

    With `loose` every text counts as an expression: for fields that need no braces, and for definitions in loose mode.
    """
    if isinstance(value, str):
        return name in value and any(_mentions(program, name) for program in _programs_in(value, loose))
    if isinstance(value, dict):
        return any(mentioned(item, name, loose) for item in value.values())
    return isinstance(value, list) and any(mentioned(item, name, loose) for item in value)


def check(expression: str, variables: Collection[str] = ()) -> None:
    """Raises ExpressionFailed if a program (with or without braces) cannot be compiled or is not allowed.

    `variables` are those that it may mention beside its own.
    """
    compile_only(strip(expression), variables)


def _strict(text: str, evaluate_one: Callable[[str], JsonValue]) -> JsonValue:
    if "${" not in text:
        return text
    if is_expression(text):
        return evaluate_one(strip(text))
    return "".join(as_text(evaluate_one(piece)) if is_program else piece for is_program, piece in _pieces(text))


def _loose(text: str, evaluate_one: Callable[[str], JsonValue]) -> JsonValue:
    try:
        if _PART.search(text) and not is_expression(text):
            return _strict(text, evaluate_one)
        return evaluate_one(strip(text))
    except ExpressionFailed:
        return text


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text in order: whether each is a program, and it without its braces."""
    at = 0
    while part := _PART.search(text, at):
        yield False, text[at : part.start()]
        end = end_of(text, part.end())
        yield True, text[part.end() : end].strip()
        at = end + 1
    yield False, text[at:]


def as_text(value: JsonValue) -> str:
    """What stands in a text for a value: nothing for null, JSON for what is no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _programs_in(text: str, loose: bool) -> list[str]:
    try:
        found = list(programs(text))
    except ExpressionFailed:
        return [text]
    return [*found, strip(text)] if loose else found


def _mentions(program: str, name: str) -> bool:
    try:
        return name in variables_of(program)
    except ExpressionFailed:
        return name in program
