"""Checks a value against a JSON Schema with package jsonschema: the work itself, without a bound in time (`schema` has that)."""

import json
from functools import lru_cache
from re import error as PatternInvalid
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, UnknownType, ValidationError
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # has no types
from referencing.exceptions import Unresolvable

from infra.expressions.failure import ExpressionFailed

VALIDATORS_MAX = 512
PATH_CHARACTERS_MAX = 200
VALUE_CHARACTERS_MAX = 80

_KINDS = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def check(schema: bytes, value: Any, messages_max: int) -> list[str]:
    """Messages for at most so many violations. `schema` is canonical JSON, `value` as JSON gives it.

    Raises ExpressionFailed for a bad schema.
    """
    validator = _validator(schema)
    found = []
    try:
        for violation in validator.iter_errors(value):
            found.append(_message(violation))
            if len(found) == messages_max:
                break
    except Unresolvable as missing:
        reference = str(missing.ref)[:PATH_CHARACTERS_MAX]
        raise ExpressionFailed(
            f"the schema refers to {reference}, which it does not hold; others are never fetched"
        ) from None
    except UnknownType:
        raise ExpressionFailed("the schema is invalid: it names a type that there is not") from None
    except PatternInvalid:
        raise ExpressionFailed("the schema is invalid: a pattern is not a regular expression") from None
    except RecursionError:
        raise ExpressionFailed("the schema refers to itself without end, or the value is nested too deeply") from None
    return found


@lru_cache(maxsize=VALIDATORS_MAX)
def _validator(schema: bytes) -> Any:
    parsed = json.loads(schema)
    try:
        kind = validator_for(parsed, default=jsonschema.Draft202012Validator)
    except (TypeError, ValueError, AttributeError):
        raise ExpressionFailed("the schema is invalid at /$schema: it is not a URI") from None
    try:
        kind.check_schema(parsed)
    except SchemaError as wrong:
        raise ExpressionFailed(
            f"the schema is invalid at {_pointer(wrong)}: {wrong.message[:VALUE_CHARACTERS_MAX]}"
        ) from None
    except RecursionError:
        raise ExpressionFailed("the schema is nested too deeply") from None
    return kind(parsed, registry=REGISTRY)


def _message(violation: ValidationError) -> str:
    """Where and what, never the value itself."""
    keyword, wanted, is_kind = (
        str(violation.validator),
        violation.validator_value,
        _KINDS.get(type(violation.instance), "value"),
    )
    match keyword:
        case "required" | "dependentRequired":
            said = violation.message  # it names a property of the schema only
        case "type":
            said = f"is {is_kind}, not {_listed(wanted)}"
        case "None":
            said = f"{is_kind} is not allowed here"
        case "enum":
            said = f"{is_kind} is none of the allowed values"
        case "const":
            said = f"{is_kind} is not the required value"
        case "additionalProperties" | "unevaluatedProperties":
            said = "has properties that are not allowed"
        case _:
            of = f": {json.dumps(wanted)[:VALUE_CHARACTERS_MAX]}" if isinstance(wanted, str | int | float) else ""
            said = f"{is_kind} does not meet {keyword}{of}"
    return f"{_pointer(violation)}: {said}"


def _listed(kinds: Any) -> str:
    """The kinds that a schema allows; old drafts may hold whole schemas among them."""
    return " or ".join(
        kind if isinstance(kind, str) else "what it describes"
        for kind in (kinds if isinstance(kinds, list) else [kinds])
    )


def _pointer(violation: ValidationError | SchemaError) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in violation.absolute_path)
    return ("/" + "/".join(steps))[:PATH_CHARACTERS_MAX]
