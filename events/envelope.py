"""An event with everything that is known about it: where it stands in the log, who caused it, when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from pydantic_core import from_json

from events.event import Event

E_co = TypeVar("E_co", bound=Event, covariant=True)


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

    def metadata(self) -> dict[str, str]:
        """What of it is stored with an event, as a JSON object: without the tenant and without what is not known."""
        _, actor, command_id, correlation_id, causation_id, traceparent, source, user_agent, ip = self
        stored = {
            "actor": actor,
            "command_id": command_id,
            "correlation_id": correlation_id,
            "causation_id": causation_id,
        }
        # Field by field: a loop over them takes half as long again, for every command.
        if traceparent is not None:
            stored["traceparent"] = traceparent
        if source is not None:
            stored["source"] = source
        if user_agent is not None:
            stored["user_agent"] = user_agent
        if ip is not None:
            stored["ip"] = ip
        return stored

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
