"""CloudEvents that a workflow emits and those that it waits for."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import JsonValue, model_validator

from write_side.definition.resources import Export, Output
from write_side.definition.values import (
    Maybe,
    OpenPart,
    Part,
    TimeOrExpression,
    UriOrExpression,
    by_shape,
    tag,
)

if TYPE_CHECKING:
    from write_side.definition.tasks import TaskList

ReadAs = Literal["data", "envelope", "raw"]
"""What of an event is handed on: its data, the event, or the event as it was received."""


class EventProperties(OpenPart):
    """The attributes of an event, its data, and attributes of the author's own."""

    id: Maybe[str] = None
    source: Maybe[UriOrExpression] = None
    type: Maybe[str] = None
    time: Maybe[TimeOrExpression] = None
    subject: Maybe[str] = None
    datacontenttype: Maybe[str] = None
    dataschema: Maybe[UriOrExpression] = None
    data: JsonValue = None


class EmittedProperties(EventProperties):
    """What an emitted event holds; its type at least."""

    type: str


class EmittedEvent(OpenPart):
    """The event to emit."""

    with_: Maybe[EmittedProperties] = None


class Emit(Part):
    """What an emit task emits."""

    event: EmittedEvent


class EventPattern(EventProperties):
    """What an event has to hold; at least one attribute."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> "EventPattern":
        if not self.model_fields_set:
            raise ValueError("must have at least one field")
        return self


class Correlation(OpenPart):
    """The value of an event that ties it to others, and what is expected of it."""

    from_: str
    expect: Maybe[str] = None


class EventFilter(Part):
    """Which events are meant."""

    with_: EventPattern
    correlate: dict[str, Correlation] = {}


class EventConsumption(Part):
    """What to wait for: all of several events, any of them, or one; any of them goes on until something is so, if it says what."""

    all: Maybe[tuple[EventFilter, ...]] = None
    any: Maybe[tuple[EventFilter, ...]] = None
    until: Maybe["Until"] = None
    one: Maybe[EventFilter] = None

    @model_validator(mode="after")
    def _has_one_strategy(self) -> "EventConsumption":
        if len(self.given("all", "any", "one")) != 1:
            raise ValueError("must have exactly one of all, any, one")
        if self.given("until") and not self.given("any"):
            raise ValueError("must have until only beside any")
        return self


class EndingConsumption(EventConsumption):
    """Which events end the waiting for others; this has no end of its own."""

    @model_validator(mode="after")
    def _has_no_end_of_its_own(self) -> "EndingConsumption":
        if self.given("until"):
            raise ValueError("must not have an until of its own")
        return self


Until = Annotated[
    Annotated[EndingConsumption, tag("object")] | Annotated[str, tag("text")],
    by_shape("must be a runtime expression, or the events that end the waiting"),
]
"""What ends the waiting: a condition, or other events."""


class Listen(Part):
    """What a listen task waits for, and what of it is handed on."""

    to: EventConsumption
    read: ReadAs = "data"


class SubscriptionIterator(Part):
    """What is done with each event or message, one after the other."""

    item: str = "item"
    at: str = "index"
    do: Maybe["TaskList"] = None
    output: Maybe[Output] = None
    export: Maybe[Export] = None
