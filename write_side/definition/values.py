"""The small values that definitions are made of: expressions, URI templates, durations, versions, and the bases of their objects."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    JsonValue,
    Tag,
    model_validator,
)
from pydantic.alias_generators import to_camel

TAG_MARK = "\x00"
"""What every tag of an alternative begins with: it tells tags from field names in the place of an error."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_NATURAL = r"(?:0|[1-9][0-9]*)"
_PRERELEASE = rf"(?:{_NATURAL}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_EXPRESSION = re.compile(r"\s*\$\{.+\}\s*")
_URI_TEMPLATE = re.compile(
    r"(?!\s*\$\{)(?=\S)(?:[^:/?#]+:)?(?://[^/?#\s]*)?[^?#\s]*(?:\?[^#\s]*)?(?:#\S*)?",
)
_ISO_DURATION = re.compile(
    rf"P(?=.)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_SEMANTIC_VERSION = re.compile(
    rf"{_NATURAL}\.{_NATURAL}\.{_NATURAL}(?:-{_PRERELEASE}(?:\.{_PRERELEASE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_DNS_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_JSON_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")

T = TypeVar("T")


@cache
def json_name(field: str) -> str:
    """The name that a field of a model has in a document."""
    return to_camel(field.rstrip("_"))


def below(pointer: str, *names: str | int) -> str:
    """The pointer to a place below another (RFC 6901)."""
    return pointer + "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


class Part(BaseModel):
    """An object of a definition that has no other fields than these."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=json_name)

    def given(self, *names: str) -> list[str]:
        """Those of these fields that the document has, whatever their value."""
        return [name for name in names if name in self.model_fields_set]


class OpenPart(Part):
    """An object of a definition that may have more fields than these."""

    model_config = ConfigDict(extra="allow")


def _present(value: object) -> object:
    if value is None:
        raise ValueError("must not be null; leave the field out")
    return value


Maybe = Annotated[T | None, BeforeValidator(_present)]
"""A field that can be left out, but is not null."""


def _whole(value: object) -> object:
    """To JSON, 1.0 is a whole number and true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError("must be a whole number")
    return int(value)


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def tag(name: str) -> Tag:
    """The tag of one alternative."""
    return Tag(TAG_MARK + name)


def by_shape(message: str) -> Discriminator:
    """Tells alternatives apart that are text, an object or a list in JSON."""
    return Discriminator(_shape, custom_error_type="shape", custom_error_message=message)


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return TAG_MARK + "text"
    if isinstance(value, dict):
        return TAG_MARK + "object"
    return TAG_MARK + "list" if isinstance(value, list) else None


def _matches(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(message)
        return text

    return check


def is_expression(text: str) -> bool:
    """Whether this text is a runtime expression between `${` and `}`."""
    return _EXPRESSION.fullmatch(text) is not None


def _or_expression(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text) and not is_expression(text):
            raise ValueError(f"{message}, or a runtime expression like ${{ .value }}")
        return text

    return check


def _time_or_expression(text: str) -> str:
    if _DATE_TIME.fullmatch(text):
        try:
            datetime.fromisoformat(text.upper())
        except ValueError:
            raise ValueError("must be a time that there is") from None
    elif not is_expression(text):
        raise ValueError("must be a time like 2026-01-02T03:04:05Z, or a runtime expression like ${ .value }")
    return text


Integer = Annotated[int, BeforeValidator(_whole)]
"""A whole number, also if it is written like 1.0."""

Flag = Annotated[bool, BeforeValidator(_flag)]
"""True or false, and nothing that could stand for them."""

JsonObject = dict[str, JsonValue]
"""An object of the author's own."""

Expression = Annotated[str, AfterValidator(_matches(_EXPRESSION, "must be a runtime expression like ${ .value }"))]
"""A runtime expression between `${` and `}`."""

UriTemplate = Annotated[str, AfterValidator(_matches(_URI_TEMPLATE, "must be a URI or a URI template"))]
"""A URI, or a URI template (RFC 6570); no runtime expression."""

UriOrExpression = Annotated[str, AfterValidator(_or_expression(_URI_TEMPLATE, "must be a URI or a URI template"))]
"""A URI, a URI template, or a runtime expression that yields one."""

TimeOrExpression = Annotated[str, AfterValidator(_time_or_expression)]
"""A date and time with its offset (RFC 3339), or a runtime expression that yields one."""

PointerOrExpression = Annotated[str, AfterValidator(_or_expression(_JSON_POINTER, "must be a JSON pointer like /do/0"))]
"""A JSON pointer (RFC 6901), or a runtime expression that yields one."""

SemanticVersion = Annotated[str, AfterValidator(_matches(_SEMANTIC_VERSION, "must be a semantic version like 1.0.3"))]
"""A version by the rules of semver.org 2.0."""

DnsLabel = Annotated[
    str,
    AfterValidator(
        _matches(
            _DNS_LABEL, "must be 1 to 63 letters, digits and hyphens, beginning and ending with none of the latter"
        )
    ),
]
"""A name as one label of a host name has it."""

Host = Annotated[
    str,
    AfterValidator(
        _matches(
            _HOST, "must be 1 to 63 letters, digits, dots and hyphens, beginning and ending with a letter or digit"
        )
    ),
]
"""The name of a host."""


class InlineDuration(Part):
    """A duration by its units; at least one is given."""

    days: Integer = 0
    hours: Integer = 0
    minutes: Integer = 0
    seconds: Integer = 0
    milliseconds: Integer = 0

    @model_validator(mode="after")
    def _has_a_unit(self) -> "InlineDuration":
        if not self.model_fields_set:
            raise ValueError("must have at least one of days, hours, minutes, seconds, milliseconds")
        return self

    def in_seconds(self, most: float) -> float:
        """How long that is, from none to `most`: its parts may be too large to become a float."""
        whole = ((self.days * 24 + self.hours) * 60 + self.minutes) * 60 + self.seconds
        return min(max(whole * 1_000 + self.milliseconds, 0), most * 1_000) / 1_000


_DurationText = Annotated[
    str, AfterValidator(_or_expression(_ISO_DURATION, "must be an ISO 8601 duration like PT1M30S"))
]

Duration = Annotated[
    Annotated[InlineDuration, tag("object")] | Annotated[_DurationText, tag("text")],
    by_shape("must be a duration: text like PT1M30S, or an object of days, hours, minutes, seconds, milliseconds"),
]
"""How long: by its units, in ISO 8601, or as a runtime expression."""


class Timeout(Part):
    """How long something may take."""

    after: Duration


TimeoutOrName = Annotated[
    Annotated[Timeout, tag("object")] | Annotated[str, tag("text")],
    by_shape("must be a timeout, or the name of one"),
]
"""A timeout, or the name of one that `use` declares."""
