"""Which JSON values are the same, and which say yes: Python takes true for 1 and false for 0, wherever they stand in a value."""

from pydantic import JsonValue


def same(one: JsonValue, other: JsonValue) -> bool:
    """As jq compares: 1 is 1.0, true is only true. Values are nested no deeper than an event can hold."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return one == other


def is_so(value: JsonValue) -> bool:
    """What a condition comes to, as jq has it: anything but false and null holds, also 0."""
    return value is not None and value is not False
