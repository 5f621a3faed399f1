"""Decides whether an event of somebody else's is published: each once, however often it is sent."""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, Self, assert_never

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from events.event import JsonTold
from events.message import MessageEvent, MessagePublished
from infra.errors import Invalid, Rejection
from infra.patterns.decider import Command, Decider
from write_side.definition.digest import digest

TEXT_CHARACTERS_MAX = 2_000
_INTEGER_MAX = (1 << 31) - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URI = r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]+"
_NAME = "^([a-z0-9]+|data_base64)$"
_TIME = re.compile(
    "([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LEAP_SECOND = "60"


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def _timestamp(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("must be a timestamp of RFC 3339")
    day, minute, second, _, offset = found.groups()
    try:
        datetime.fromisoformat(f"{day}T{minute}:{'59' if second == _LEAP_SECOND else second}{offset.upper()}")
    except ValueError as error:
        raise ValueError(f"must be a timestamp of RFC 3339: {error}") from error
    return text


def _attribute(value: JsonValue) -> JsonValue:
    """The types that an attribute may have in JSON; a whole number has 32 bits, and None stands for nothing."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
        return value
    if isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX:
        return _printable(value)
    raise ValueError(
        f"must be text of up to {TEXT_CHARACTERS_MAX} characters, a whole number of 32 bits, true or false"
    )


_LINE: dict[str, Any] = {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"}
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TEXT_CHARACTERS_MAX),
    AfterValidator(_printable),
    WithJsonSchema({**_LINE, "maxLength": TEXT_CHARACTERS_MAX}),
]
"""Text without control characters: 1 to TEXT_CHARACTERS_MAX characters."""

UriReference = Annotated[str, StringConstraints(pattern=f"^{_URI}$", max_length=TEXT_CHARACTERS_MAX)]
Uri = Annotated[str, StringConstraints(pattern=f"^[A-Za-z][A-Za-z0-9+.-]*:{_URI}$", max_length=TEXT_CHARACTERS_MAX)]
MediaType = Annotated[
    str,
    StringConstraints(pattern=f"^{_TOKEN}/{_TOKEN}( *;[ -~]*)?$", max_length=TEXT_CHARACTERS_MAX),
]
Timestamp = Annotated[str, AfterValidator(_timestamp), WithJsonSchema({"type": "string", "format": "date-time"})]
Base64 = Annotated[str, StringConstraints(pattern="^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
Attribute = Annotated[
    JsonValue,
    AfterValidator(_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _LINE["pattern"].replace("+$", "*$"), "maxLength": TEXT_CHARACTERS_MAX},
                {"type": "integer", "minimum": -_INTEGER_MAX - 1, "maximum": _INTEGER_MAX},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]


class CloudEvent(BaseModel):
    """A CloudEvent 1.0 as a JSON document; its other members are extension attributes, in lower-case letters and digits.

    Format: github.com/cloudevents/spec, v1.0.2, spec.md and formats/json-format.md. A member that is null is as if left out.
    """

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={"propertyNames": {"pattern": _NAME}})
    __pydantic_extra__: dict[str, Attribute] = Field(init=False)

    specversion: Literal["1.0"]
    id: Line
    source: UriReference
    type: Line
    subject: Line | None = None
    time: Timestamp | None = None
    datacontenttype: MediaType | None = None
    dataschema: Uri | None = None
    data: JsonTold = None
    data_base64: Base64 | None = None

    @model_validator(mode="after")
    def _has_names_of_the_specification(self) -> Self:
        for name in self.__pydantic_extra__:
            if not re.fullmatch("[a-z0-9]+", name):
                raise ValueError(f"has the member {name[:100]!r}: names consist of lower-case letters and digits")
        return self

    @property
    def extensions(self) -> dict[str, JsonValue]:
        return {name: value for name, value in self.__pydantic_extra__.items() if value is not None}


class PublishMessage(Command):
    """Publish an event of somebody else's, a CloudEvent 1.0; the same `source` and `id` are the same event."""

    creates = True
    whole_body = "event"
    whole_body_types = ("application/cloudevents+json",)

    event: CloudEvent

    @property
    def message_id(self) -> str:
        """The same for the same event: a hash of its source and id, neither of which holds a line feed."""
        return sha256(f"{self.event.source}\n{self.event.id}".encode()).hexdigest()


MessageCommand = PublishMessage


class MessageIdTaken(Rejection):
    """Another event with this source and id was published already."""


class DataTwice(Invalid):
    """An event has its data as JSON in `data` or as base64 in `data_base64`, not both."""


@dataclass(frozen=True, slots=True)
class MessageState:
    """What was published, told by its digest; None: nothing yet."""

    digest: str | None = None


def decide(command: MessageCommand, state: MessageState) -> list[MessageEvent]:
    event = command.event
    if event.data is not None and event.data_base64 is not None:
        raise DataTwice(errors=[{"pointer": "/data_base64", "detail": "must not be given beside data"}])
    published = MessagePublished(
        event_id=event.id,
        source=event.source,
        event_type=event.type,
        subject=event.subject,
        time=event.time,
        datacontenttype=event.datacontenttype,
        dataschema=event.dataschema,
        data=event.data,
        data_base64=event.data_base64,
        extensions=event.extensions,
    )
    if state.digest is None:
        return [published]
    if state.digest != _digest(published):
        raise MessageIdTaken(
            f"another event {event.id} of {event.source} was published already", message_id=command.message_id
        )
    return []


def _digest(published: MessagePublished) -> str:
    return digest(published.model_dump(mode="json", exclude_none=True))


def evolve(state: MessageState, event: MessageEvent) -> MessageState:
    match event:
        case MessagePublished():
            return MessageState(_digest(event))
        case _:
            assert_never(event)


MESSAGE = Decider("message", (PublishMessage,), MessageState(), decide, evolve)
