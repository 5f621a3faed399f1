"""Evaluates jq programs on values of a run: cheap ones inside this process, all others in a guarded child, both within `BOUNDS`.

Numbers beyond 2^53 lose digits where something is computed, and not-a-number becomes null, as in jq itself. No output holds an integer
of more than 64 bits.
"""

import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any, cast

import jq  # type: ignore[import-not-found]  # has no types
import orjson
from pydantic import JsonValue

from infra.expressions.bounds import BOUNDS, Bounds
from infra.expressions.child import DONE, FAILED, MESSAGE_BYTES_MAX, NONE, TOO_LARGE
from infra.expressions.failure import MESSAGE_CHARACTERS_MAX, ExpressionFailed, without_data
from infra.expressions.guard import Guard
from infra.expressions.lexer import everywhere, tokens, variables_of
from infra.expressions.path import NOT_HERE, follow, path_of
from infra.expressions.plain import is_plain

PROGRAMS_MAX = 2048
# With fewer brackets a value cannot be nested too deeply to be written as JSON again.
DEPTH_SURE = 200
_INTEGER_MAX = (1 << 63) - 1
# orjson reads integers of up to 64 bits without a sign, and takes those beyond for floating-point numbers itself.
_LONG = re.compile(rb"[0-9]{19}")

_PLACE = re.compile(r" at <top-level>, line (\d+), column \d+:")


def evaluate(
    expression: str, value: JsonValue, variables: Mapping[str, JsonValue], bounds: Bounds | None = None
) -> JsonValue:
    """The first output of the jq program `expression` on `value`, with `$name` for each of `variables`; None if there is no output.

    Raises ExpressionFailed.
    """
    bounds = bounds or BOUNDS
    if (path := path_of(expression)) is not None and (found := follow(path, value, variables)) is not NOT_HERE:
        return cast(JsonValue, found)
    names = _names(expression, variables, bounds)
    data = _json({".": value, **{name: variables[name] for name in names}} if names else value)
    if is_plain(expression, len(data), bounds):
        return _here(expression, names, data, bounds)
    return _guarded(expression, names, data, bounds)


def compile_only(expression: str, variables: Collection[str], bounds: Bounds | None = None) -> None:
    """Raises ExpressionFailed if the program is not one of jq, is not allowed or mentions a variable that is neither its own nor given."""
    bounds = bounds or BOUNDS
    names = _names(expression, variables, bounds)
    path = path_of(expression)
    if path is None or (path[0] is not None and path[0] not in variables):
        # Each takes milliseconds, and this process would do nothing else meanwhile.
        _ask(expression, names, b"", 0, bounds)


def evaluate_guarded(
    expression: str, value: JsonValue, variables: Mapping[str, JsonValue], bounds: Bounds | None = None
) -> JsonValue:
    """As `evaluate`, always in the child process."""
    bounds = bounds or BOUNDS
    names = _names(expression, variables, bounds)
    data = _json({".": value, **{name: variables[name] for name in names}} if names else value)
    return _guarded(expression, names, data, bounds)


def seconds_spent() -> float:
    """How long this process has waited for its child in all, so that others have their turn after a costly stretch."""
    return guard_of(BOUNDS).seconds_spent


@cache
def guard_of(bounds: Bounds) -> Guard:
    """The child process for jq of this process; a second one only for other bounds."""
    return Guard("infra.expressions.child", bounds)


def _names(expression: str, given: Collection[str], bounds: Bounds) -> tuple[str, ...]:
    """The given variables that the expression mentions; those that nobody gave are jq's to refuse, for it may bind them itself."""
    if len(expression) > bounds.expression_characters_max:
        raise ExpressionFailed(f"the expression has more than {bounds.expression_characters_max} characters")
    mentioned = variables_of(expression)
    return tuple(sorted(name for name in mentioned if name in given)) if mentioned else ()


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as refused:
        # The library's message may quote the data; its cause is one of few.
        raise ExpressionFailed(
            "the input is not JSON: nested too deeply, an integer beyond 64 bits, or text that is not Unicode"
        ) from (refused)


@lru_cache(maxsize=PROGRAMS_MAX)
def _wrapped(expression: str, names: tuple[str, ...]) -> str:
    """The program on one object of the value and the variables, its outputs as text (with orjson quicker than the package's own way).

    The expression stands on lines of its own, for it may end in a comment."""
    if not names:
        return f"(\n{expression}\n) | tojson"
    bound = "".join(f'.["{name}"] as ${name} | ' for name in names)
    return f'{bound}.["."] | (\n{expression}\n) | tojson'


@lru_cache(maxsize=PROGRAMS_MAX)
def _program(expression: str, names: tuple[str, ...]) -> Any:  # the package has no types
    try:
        return jq.compile(_wrapped(expression, names))
    except ValueError as refused:
        raise _explained(str(refused), expression) from None


def _here(expression: str, names: tuple[str, ...], data: bytes, bounds: Bounds) -> JsonValue:
    program = _program(expression, names)
    try:
        text = next(iter(program.input_text(data.decode())), None)
    except ValueError as failed:
        raise _explained(str(failed), expression) from None
    if text is None:
        return None
    encoded = text.encode()
    if len(encoded) > bounds.output_bytes_max:
        raise _too_large(bounds)
    return _output(encoded)


def _output(text: bytes) -> JsonValue:
    may_be_deep = text.count(b"[") + text.count(b"{") > DEPTH_SURE
    try:
        output: JsonValue = orjson.loads(text)
        if may_be_deep:
            orjson.dumps(output)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        why = "is nested too deeply" if may_be_deep else "holds a number that is too large"
        raise ExpressionFailed(f"the output {why}") from None
    return _within_64_bits(output) if _LONG.search(text) else output


def _within_64_bits(value: JsonValue) -> JsonValue:
    """Integers of more bits, which no event can hold, as the floating-point numbers that they are to jq."""
    if isinstance(value, list):
        return [_within_64_bits(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _within_64_bits(inner) for name, inner in value.items()}
    return float(value) if isinstance(value, int) and value > _INTEGER_MAX else value


def _too_large(bounds: Bounds) -> ExpressionFailed:
    return ExpressionFailed(f"the output is too large: more than {bounds.output_bytes_max} bytes")


def _guarded(expression: str, names: tuple[str, ...], data: bytes, bounds: Bounds) -> JsonValue:
    if len(data) > bounds.input_bytes_max:
        raise ExpressionFailed(f"the input is too large: more than {bounds.input_bytes_max} bytes")
    text = _ask(expression, names, data, bounds.output_bytes_max, bounds)
    return None if text is None else _output(text)


def _ask(expression: str, names: tuple[str, ...], data: bytes, output_bytes_max: int, bounds: Bounds) -> bytes | None:
    program = _wrapped(expression, names).encode(errors="replace")
    body = output_bytes_max.to_bytes(4, "big") + len(program).to_bytes(4, "big") + program + data
    answer = guard_of(bounds).ask(body, max(output_bytes_max, MESSAGE_BYTES_MAX) + 1)
    kind, rest = answer[:1], answer[1:]
    if kind == DONE:
        return rest
    if kind == TOO_LARGE:
        raise _too_large(bounds)
    if kind == FAILED:
        raise _explained(rest.decode(), expression) from None
    assert kind == NONE
    return None


def _explained(message: str, expression: str) -> ExpressionFailed:
    """What went wrong, from jq's message, without the data and without our frame around the expression."""
    if message.startswith("jq: error"):
        first = message.partition("\n")[0].removeprefix("jq: error: ").removeprefix("jq: error (at <unknown>): ")
        place = _PLACE.search(first)
        line = f" in line {max(int(place[1]) - 1, 1)}" if place and "\n" in expression else ""
        said = _PLACE.sub(line, first)
        kind = said if said.startswith("syntax error") else f"does not compile: {said}"
        return ExpressionFailed(kind[:MESSAGE_CHARACTERS_MAX])
    found = tuple(everywhere(tokens(expression)))
    if any(token.kind == "name" and token.text == "error" and not token.key for token in found):
        # The message may be made of data; it is repeated only if the expression says it word by word.
        if any(token.kind == "string" and token.text == message for token in found):
            return ExpressionFailed(message[:MESSAGE_CHARACTERS_MAX])
        return ExpressionFailed("the expression raised an error, or met a value of the wrong kind")
    return ExpressionFailed(without_data(message) or "it met a value of the wrong kind")
