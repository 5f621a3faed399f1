"""An event with everything that is known about it: where it stands in the log, who caused it, when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json

from events.event import Event

E_co = TypeVar("E_co", bound=Event, covariant=True)

_as_json = TypeAdapter(dict[str, str]).serializer.to_json


class Origin(NamedTuple):
    """Who asked for a command, where it came in, and the request it belongs to.

    `source`, `user_agent` and `ip` are personal data. `correlation_id` names the whole request, `causation_id` the event or
    command that led to this one, `command_id` the command itself.
    """

    tenant_id: str
    actor: str
    command_id: str
    correlation_id: str
    causation_id: str
    traceparent: str | None = None
    source: str | None = None
    user_agent: str | None = None
    ip: str | None = None

    def to_json(self) -> bytes:
        """The metadata as it is stored: without the tenant and without what is not known."""
        stored = {
            "actor": self.actor,
            "command_id": self.command_id,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
        }
        # Field by field: a loop over them takes half as long again, for every command.
        if self.traceparent is not None:
            stored["traceparent"] = self.traceparent
        if self.source is not None:
            stored["source"] = self.source
        if self.user_agent is not None:
            stored["user_agent"] = self.user_agent
        if self.ip is not None:
            stored["ip"] = self.ip
        return _as_json(stored)

    @classmethod
    def from_json(cls, tenant_id: str, metadata: bytes) -> "Origin":
        return cls(tenant_id, **from_json(metadata))


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E_co]):
    """A recorded event. `position` is its place in the shard's log, from 1 and gapless; `stream_version` in its stream."""

    position: int
    id: str
    tenant_id: str
    stream_id: str
    stream_version: int
    occurred_at: datetime
    event: E_co
    metadata: bytes = b"{}"

    @property
    def type(self) -> str:
        return self.event.type

    @property
    def schema_version(self) -> int:
        return self.event.version

    @property
    def entity_id(self) -> str:
        """The stream id without its category: `0192...` of `agent-0192...`."""
        return self.stream_id.partition("-")[2]

    @property
    def origin(self) -> Origin:
        return Origin.from_json(self.tenant_id, self.metadata)
