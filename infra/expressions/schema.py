"""Checks values against JSON Schemas, bounded: small and harmless work inside this process, all other in a guarded child."""

from collections.abc import Iterator
from functools import cache, lru_cache

import orjson
from pydantic import JsonValue

from infra.expressions.bounds import BOUNDS, Bounds
from infra.expressions.child import FAILED
from infra.expressions.failure import ExpressionFailed
from infra.expressions.guard import Guard
from infra.expressions.validation import check

SCHEMAS_MAX = 512

# Regular expressions may take exponential time, references and unevaluated properties visit a value again and again,
# unique items compares each with each. Without them a schema visits each part of a value at most once with each of its own parts.
_COSTLY = frozenset(
    {
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
        "$schema",
        "extends",
        "disallow",
        "pattern",
        "patternProperties",
        "uniqueItems",
    }
    | {"unevaluatedProperties", "unevaluatedItems"}
)
_ANSWER_BYTES_MAX = 1_000_000
_SCHEMA_HERE_BYTES_MAX = 8_192


def violations(schema: JsonValue, value: JsonValue, bounds: Bounds | None = None) -> list[str]:
    """Messages such as `/order/pet: 'id' is a required property`, at most `schema_messages_max`; none if the value is valid.

    JSON Schema 2020-12, or what `$schema` says. Raises ExpressionFailed if the schema is invalid or refers to another document, and if
    the check takes too long.
    """
    bounds = bounds or BOUNDS
    try:
        text, data = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS), orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise ExpressionFailed("the schema or the value is not JSON, or nested too deeply") from None
    if len(text) > bounds.schema_bytes_max:
        raise ExpressionFailed(f"the schema is too large: more than {bounds.schema_bytes_max} bytes")
    if len(data) > bounds.input_bytes_max:
        raise ExpressionFailed(f"the value is too large: more than {bounds.input_bytes_max} bytes")
    if len(text) * len(data) <= bounds.schema_plain_work_max and _is_harmless(text):
        return check(text, value, bounds.schema_messages_max)
    return _guarded(text, data, bounds)


@cache
def guard_of(bounds: Bounds) -> Guard:
    """The child process for schemas of this process."""
    return Guard("infra.expressions.schema_child", bounds)


@lru_cache(maxsize=SCHEMAS_MAX)
def _is_harmless(schema: bytes) -> bool:
    return len(schema) <= _SCHEMA_HERE_BYTES_MAX and _COSTLY.isdisjoint(_keys(orjson.loads(schema)))


def _keys(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _keys(item)


def _guarded(schema: bytes, value: bytes, bounds: Bounds) -> list[str]:
    head = bounds.schema_messages_max.to_bytes(4, "big") + len(schema).to_bytes(4, "big")
    answer = guard_of(bounds).ask(head + schema + value, _ANSWER_BYTES_MAX)
    if answer[:1] == FAILED:
        raise ExpressionFailed(answer[1:].decode())
    found: list[str] = orjson.loads(answer[1:])
    return found
