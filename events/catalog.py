"""The table of contents: which class stands for a stored type, and how stored data becomes an event and back."""

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

from events.agent import AgentEvent
from events.agent_name import AgentNameEvent
from events.approval import ApprovalEvent
from events.event import Event
from events.fleet import FleetEvent
from events.job import JobEvent
from events.message import MessageEvent
from events.node import NodeEvent
from events.run import RunEvent
from events.task import TaskEvent
from events.workflow import WorkflowEvent

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the data of one schema version into that of the next."""


class UnknownEventType(Exception):
    """This program knows no such event type, or not so new a version of it."""

    def __init__(self, type: str, schema_version: int) -> None:
        super().__init__(f"unknown event type {type!r} version {schema_version}")
        self.type = type
        self.schema_version = schema_version


class Catalog:
    """A closed registry of event types, built from unions of event classes.

    `upcasters` are keyed by type and the schema version they start from; there must be one for each version before
    a type's current one. Data is JSON in UTF-8; a field that is None is not stored, since each such field has None as
    its default.
    """

    def __init__(self, *unions: Any, upcasters: Mapping[tuple[str, int], Upcast] | None = None) -> None:
        self._upcasters = dict(upcasters or {})
        self._classes: dict[str, type[Event]] = {}
        self._decoders: dict[tuple[str, int], Callable[..., Any]] = {}
        for union in unions:
            for event_class in get_args(union) or (union,):
                self._register(event_class)

    def _register(self, event_class: type[Event]) -> None:
        type_, version = event_class.type, event_class.version
        if type_ in self._classes:
            raise ValueError(f"event type {type_!r} is used twice")
        for older in range(1, version):
            if (type_, older) not in self._upcasters:
                raise ValueError(f"event type {type_!r} lacks an upcaster from version {older}")
        self._classes[type_] = event_class
        self._decoders[type_, version] = event_class.__pydantic_validator__.validate_json

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self._classes)

    def class_of(self, type: str) -> type[Event]:
        """The class that stands for a type; raises UnknownEventType."""
        try:
            return self._classes[type]
        except KeyError:
            raise UnknownEventType(type, 1) from None

    def encode(self, event: Event) -> bytes:
        """The event's own fields as JSON."""
        return event.__pydantic_serializer__.to_json(event, exclude_none=True)

    def decode(self, type: str, schema_version: int, data: bytes | str | dict[str, Any]) -> Event:
        """The event of a type from its stored data.

        Raises UnknownEventType, or pydantic's ValidationError if the data is not of that type.
        """
        if not isinstance(data, dict):
            decoder = self._decoders.get((type, schema_version))
            if decoder is not None:
                event: Event = decoder(data)
                return event
        return self._decode_slowly(type, schema_version, data)

    def _decode_slowly(self, type: str, schema_version: int, data: bytes | str | dict[str, Any]) -> Event:
        """Data that is parsed already or of an older version."""
        event_class = self._classes.get(type)
        if event_class is None or not 1 <= schema_version <= event_class.version:
            raise UnknownEventType(type, schema_version)
        fields: dict[str, Any] = data if isinstance(data, dict) else json.loads(data)
        for version in range(schema_version, event_class.version):
            fields = self._upcasters[type, version](fields)
        event: Event = event_class.__pydantic_validator__.validate_python(fields)
        return event


CATALOG = Catalog(
    AgentEvent,
    AgentNameEvent,
    TaskEvent,
    NodeEvent,
    FleetEvent,
    JobEvent,
    WorkflowEvent,
    RunEvent,
    ApprovalEvent,
    MessageEvent,
)
