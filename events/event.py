"""The base of every event, and the value types that events and commands share."""

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

JSON_DEPTH_MAX = 32
TOLD_DEPTH_MAX = JSON_DEPTH_MAX - 4
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 63) - 1


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class MatchedClass(ModelMetaclass):
    """The class of classes that `match` tells apart: pydantic's own answers in Python, for each case that does not match."""

    __instancecheck__ = type.__instancecheck__


class Event(BaseModel, metaclass=MatchedClass):
    """A fact: frozen, with a type string and a schema version that are stored for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ClassVar[str]
    version: ClassVar[int] = 1


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _storable_scalar(value: Any) -> None:
    """Refuse what JSON in UTF-8 cannot carry, or what a reader could not take back."""
    if value is None or value is True or value is False:
        return
    if isinstance(value, str):
        _without_nul(value)
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("must not contain half of a surrogate pair")
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError("must be a finite number")
    elif isinstance(value, int) and not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise ValueError("must be a number of 64 bits at most")


def _storable(value: Any) -> Any:
    """Refuse text that Postgres cannot hold and nesting that a reader could not walk."""
    return _nested(value, JSON_DEPTH_MAX)


def _tellable(value: Any) -> Any:
    return _nested(value, TOLD_DEPTH_MAX)


def _nested(value: Any, depth_max: int) -> Any:
    level: list[Any] = [value]
    for _ in range(depth_max):
        below: list[Any] = []
        for item in level:
            # By the exact type, which it nearly always is: a call for each of two million numbers took a second.
            kind = type(item)
            if kind is int:
                if not _INTEGER_MIN <= item <= _INTEGER_MAX:
                    _storable_scalar(item)
            elif kind is list:
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            else:
                _storable_scalar(item)
        if not below:
            return value
        level = below
    raise ValueError(f"must not be nested deeper than {depth_max} levels")


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
"""An identifier: 1 to 128 characters, letters, digits and `_ . : -`, beginning with a letter or digit."""

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), AfterValidator(_without_nul)
]
"""A name that people read: 1 to 200 characters."""

Text = Annotated[str, StringConstraints(max_length=262_144), AfterValidator(_without_nul)]
"""Free text of up to 262,144 characters."""

Reason = Annotated[str, StringConstraints(max_length=4_000), AfterValidator(_without_nul)]
"""Why something was done or failed: up to 4,000 characters."""

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/+-]{0,99}$")]
"""A word that machines match, for example a capability or a GPU model: 1 to 100 characters."""

JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
"""A JSON object of the user's own, nested up to JSON_DEPTH_MAX levels."""

JsonAny = Annotated[JsonValue, AfterValidator(_storable)]
"""Any JSON value of the user's own, nested up to JSON_DEPTH_MAX levels."""

JsonTold = Annotated[
    JsonValue,
    AfterValidator(_tellable),
    Field(description=f"Nested up to {TOLD_DEPTH_MAX} levels: it is told inside others."),
]
"""As JsonAny, of a command whose value runs are told, inside objects and lists of ours: nested up to TOLD_DEPTH_MAX levels."""

Count = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
"""A whole number from 0 to 10^12."""
