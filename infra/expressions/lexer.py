"""Splits a jq program into tokens: enough to find names, variables and the end of a program inside a longer text."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from infra.expressions.failure import ExpressionFailed

INTERPOLATION_DEPTH_MAX = 20

# What reads files, other inputs or the environment, writes to the process's streams or ends it (jq 1.8).
NAMES_REFUSED = frozenset(
    {
        "import",
        "include",
        "module",
        "modulemeta",
        "input",
        "inputs",
        "input_filename",
        "input_line_number",
        "debug",
        "stderr",
    }
    | {"env", "getenv", "halt", "halt_error", "get_search_list", "get_jq_origin", "get_prog_origin"}
)
VARIABLES_REFUSED = frozenset({"ENV", "__prog_args", "__prog_name"})

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_TOKEN = re.compile(
    rf"""(?P<blank>[ \t\r\n]+|\#[^\n]*)
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<field>\.{_IDENTIFIER})
    |(?P<name>(?:{_IDENTIFIER}::)*{_IDENTIFIER})
    |(?P<format>@[A-Za-z0-9_]+)
    |(?P<variable>\$(?:[ \t\r\n]|\#[^\n]*\n)*(?:{_IDENTIFIER}::)*{_IDENTIFIER})
    |(?P<string>")
    |(?P<mark>\?//|//=|[!=<>|+\-*/%]=|//|\.\.|[.?=;,:|+\-*/%$<>()\[\]{{}}])""",
    re.VERBOSE,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """A token: its kind (number, field, name, format, variable, string, mark), its text (of variables and fields the name alone), whether
    it is only the key of an object, and for a string the tokens of each interpolation."""

    kind: str
    text: str
    key: bool = False
    parts: tuple[tuple["Token", ...], ...] = ()


@lru_cache(maxsize=4096)
def tokens(program: str) -> tuple[Token, ...]:
    """All tokens of a program; ExpressionFailed if a bracket or a string is left open or a character has no meaning in jq."""
    found, end = _scan(program, 0, "", 0)
    if end != len(program):
        raise ExpressionFailed(f"syntax error: {program[end]!r} closes nothing")
    return found


def end_of(text: str, start: int) -> int:
    """Where the `}` stands that closes the program that starts at `start`; ExpressionFailed if there is none."""
    return _scan(text, start, "}", 0)[1]


def everywhere(found: tuple[Token, ...]) -> Iterator[Token]:
    """Tokens with those of their interpolations."""
    for token in found:
        yield token
        for part in token.parts:
            yield from everywhere(part)


@lru_cache(maxsize=4096)
def variables_of(program: str) -> frozenset[str]:
    """The names of all `$variables` in a program, those that it binds itself too; refuses what is not allowed."""
    names = set()
    for token in everywhere(tokens(program)):
        if token.kind == "variable":
            names.add(token.text)
            if token.text in VARIABLES_REFUSED:
                raise ExpressionFailed(f"${token.text} is not allowed in an expression")
        elif token.kind == "name" and not token.key and token.text in NAMES_REFUSED:
            raise ExpressionFailed(f"`{token.text}` is not allowed in an expression")
    return frozenset(names)


def _scan(text: str, start: int, closer: str, depth: int) -> tuple[tuple[Token, ...], int]:
    """Tokens from `start` up to the bracket `closer` that closes nothing inside, or to the end, and where that is."""
    if depth > INTERPOLATION_DEPTH_MAX:
        raise ExpressionFailed("syntax error: strings are nested too deeply")
    found: list[Token] = []
    open_brackets: list[str] = []
    at = start
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionFailed(f"syntax error: unexpected {text[at]!r}")
        kind, word = str(match.lastgroup), match[0]
        if kind == "mark" and word in ")]}":
            if not open_brackets:
                break
            if _CLOSES[open_brackets.pop()] != word:
                raise ExpressionFailed(f"syntax error: unexpected {word!r}")
        at = match.end()
        if kind == "blank":
            continue
        if kind == "string":
            word, parts, at = _string(text, at, depth)
            found.append(Token(kind, word, parts=parts))
            continue
        if kind in ("variable", "field"):
            word = re.split(r"[\s$.]", word)[-1]
        found.append(Token(kind, word, _is_key(kind, found, open_brackets, text, at)))
        if word in _CLOSES:
            open_brackets.append(word)
    if open_brackets or (closer and text[at : at + 1] != closer):
        raise ExpressionFailed(f"syntax error: {_CLOSES[open_brackets[-1]] if open_brackets else closer!r} is missing")
    return tuple(found), at


def _string(text: str, start: int, depth: int) -> tuple[str, tuple[tuple[Token, ...], ...], int]:
    """The raw text of the string whose first character is at `start`, its interpolations, and where it is over."""
    parts: list[tuple[Token, ...]] = []
    at = start
    while at < len(text):
        if text[at] == '"':
            return text[start:at], tuple(parts), at + 1
        if text.startswith("\\(", at):
            part, at = _scan(text, at + 2, ")", depth + 1)
            parts.append(part)
            at += 1
        else:
            at += 2 if text[at] == "\\" else 1
    raise ExpressionFailed("syntax error: a string is not closed")


def _is_key(kind: str, before: list[Token], open_brackets: list[str], text: str, at: int) -> bool:
    """Whether a name only names a property: `{name: ...}` or `{name}`."""
    if kind != "name" or open_brackets[-1:] != ["{"] or before[-1].kind != "mark" or before[-1].text not in "{,":
        return False
    while (match := _TOKEN.match(text, at)) and match.lastgroup == "blank":
        at = match.end()
    return text[at : at + 1] in (":", ",", "}")
