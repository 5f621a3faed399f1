"""Whether two JSON values are the same: Python takes true for 1 and false for 0, wherever they stand in a value."""

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
