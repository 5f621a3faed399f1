"""Simple string expansion of URI templates (RFC 6570, section 3.2.2), as far as the workflow language has it."""

import re
from urllib.parse import quote

import orjson
from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed

_NAME = re.compile(r"\{([^{}]*)\}")


def expand(template: str, value: JsonValue) -> str:
    """The template with each `{name}` replaced by the property `name` of `value`, percent-encoded.

    The name is taken word by word (`{pet.id}` is the property "pet.id"). A property that is missing or null becomes no text; one that is an
    object or a list raises ExpressionFailed.
    """
    properties = value if isinstance(value, dict) else {}
    return _NAME.sub(lambda match: _encoded(match[1], properties.get(match[1])), template)


def _encoded(name: str, value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "a list"
        raise ExpressionFailed(f"{{{name}}} is {kind}: a URI takes only text, numbers and booleans")
    try:
        return quote(value if isinstance(value, str) else orjson.dumps(value), safe="")
    except (UnicodeEncodeError, orjson.JSONEncodeError):
        raise ExpressionFailed(f"{{{name}}} cannot be written in a URI") from None
