"""The one way in which an expression, a template or a schema fails."""

import re

MESSAGE_CHARACTERS_MAX = 500

_KINDS = "(null|boolean|number|string|array|object)"
_TWO_OPERANDS = re.compile(rf"^{_KINDS} \(.*\) and {_KINDS} \(.*\) (can(?:not|'t) .*)$", re.DOTALL)
_QUOTED = re.compile(r"""\s*[("].*[)"]""", re.DOTALL)
_UNQUOTED = re.compile(r"^(Invalid path expression)\b.*", re.DOTALL)


class ExpressionFailed(ValueError):
    """The expression could not be evaluated; the message says why and never contains the data."""


def without_data(message: str) -> str:
    """jq's message for a value of the wrong kind, without the value: jq quotes it in brackets or in quotation marks."""
    if two := _TWO_OPERANDS.match(message):
        return f"{two[1]} and {two[2]} {_QUOTED.sub('', two[3])}"[:MESSAGE_CHARACTERS_MAX]
    return _UNQUOTED.sub(r"\1", _QUOTED.sub("", message))[:MESSAGE_CHARACTERS_MAX]
