"""CloudEvents as sagas see them: their JSON, and whether one is what a filter of a definition asks for."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from events.message import MessagePublished
from infra.expressions.equality import is_so, same
from infra.expressions.failure import ExpressionFailed
from infra.expressions.program import evaluate
from infra.expressions.template import is_expression, strip

CloudEvent = dict[str, JsonValue]

_REGEX_MARK = re.compile(r"[\\^$*+?{}\[\]|()]")
_ATTRIBUTES = ("subject", "time", "datacontenttype", "dataschema", "data", "data_base64")


def cloud_event(published: MessagePublished) -> CloudEvent:
    """The event that was published, as it came in (CloudEvents 1.0, JSON format)."""
    given = {name: getattr(published, name) for name in _ATTRIBUTES}
    event: CloudEvent = {
        "specversion": "1.0",
        "id": published.event_id,
        "source": published.source,
        "type": published.event_type,
    }
    event.update({name: value for name, value in given.items() if value is not None})
    return {**event, **published.extensions}


def fits(wanted: JsonValue, found: JsonValue) -> bool:
    """Whether a value is as a filter has it: a constant, a regular expression for the whole text, or a condition.

    Of an object only what the filter names matters. An expression that fails does not hold.
    """
    if isinstance(wanted, str) and is_expression(wanted):
        return is_so(yielded(wanted, found))
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted == found or (is_pattern(wanted) and _matches(wanted, found))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(fits(value, found.get(name)) for name, value in wanted.items())
    return same(wanted, found)


def is_pattern(text: str) -> bool:
    """Whether a text of a filter is meant as a regular expression."""
    return _REGEX_MARK.search(text) is not None


def _matches(pattern: str, text: str) -> bool:
    """As jq matches, so that a listening task and a schedule agree, and within its bounds of time."""
    return _evaluated("test($pattern)", text, {"pattern": f"^(?:{pattern})$"}) is True


def yielded(expression: str, value: JsonValue) -> JsonValue:
    """What an expression yields that sees nothing but the value; None if it fails."""
    return _evaluated(strip(expression), value, {})


def _evaluated(program: str, value: JsonValue, variables: Mapping[str, JsonValue]) -> JsonValue:
    try:
        return evaluate(program, value, variables)
    except ExpressionFailed:
        return None
