"""The event stream: the mirror of one shard's log that consumers follow, and the contract that each kind of it keeps.

Guarantee: a message's sequence is the position of its event; a batch is stored whole or not at all, and only right
behind the position that it names. The mirror is disposable: the log in Postgres is the truth and can fill it again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from infra.adapters.event_store import Record
from infra.errors import Fault


class StreamUnavailable(Fault):
    """NATS cannot be reached at the moment, or did not answer in time; a batch that was sent may be stored or not."""


class StreamGone(Fault):
    """The stream does not exist."""


class StreamRefused(Fault):
    """JetStream refused a request; `err_code` is its number for the reason."""

    def __init__(self, description: str, err_code: int | None = None) -> None:
        super().__init__(description)
        self.err_code = err_code


class FencedOff(Fault):
    """The stream does not end where the batch begins: another relay published, or the stream lost its tail."""


class EventTooLarge(Fault):
    """An event is larger than the max_payload of the NATS server, which must be raised."""


class ConsumerGone(Fault):
    """The delivery has ended (consumer deleted, server restarted): start again after the last position taken."""


class Message(NamedTuple):
    """An event. `seq` is its position, `subject` is `evt.<tenant>.<type>`, `payload` a CloudEvents document."""

    seq: int
    subject: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds: the positions `first` to `last` (an empty one: last is first - 1), less `deleted` of them.

    `last_id` is the event id of its last message, None when it is empty.
    """

    messages: int
    first: int
    last: int
    deleted: int
    last_id: str | None

    @property
    def whole(self) -> bool:
        """Whether no position between the first and the last is missing."""
        return self.deleted == 0 and self.messages == self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Flight:
    """A batch on its way. `last` is its last position; `landed` is done when it is stored, or raises why it is not."""

    last: int
    landed: "asyncio.Future[None]"


class PullLoop(Protocol):
    """A consumer's delivery: in order, each message once per `start`, positions that the mirror lacks left out.

    For one task at a time.
    """

    async def start(self, after: int) -> None:
        """Deliver what comes after a position, and nothing of before. Raises StreamGone, StreamUnavailable."""
        ...

    async def next(self) -> list[Message]:
        """What has arrived, as soon as there is something. May be cancelled without loss. Raises ConsumerGone."""
        ...

    async def close(self) -> None: ...


class EventStream(Protocol):
    """The mirror of one shard.

    `woken` is set by every wake; `disturbed` is set when the stream may have changed behind our back: it was deleted,
    or the server came back. Every call may raise StreamUnavailable, and StreamGone where it needs the stream.
    """

    shard: int
    woken: asyncio.Event
    disturbed: asyncio.Event

    def wake(self) -> None:
        """Tell the relay that there are new events, soon if it has just been told. May be lost: the relay also polls."""
        ...

    async def listen(self) -> None:
        """Begin to set `woken` and `disturbed`."""
        ...

    async def state(self) -> StreamState: ...

    async def event_id(self, position: int) -> str | None:
        """The id of the event stored at a position, None if there is none, empty if it belongs to another position."""
        ...

    async def adopt(self) -> bool:
        """Bring the stream's limits in line with the settings; False if it is of another kind and must be made anew."""
        ...

    async def recreate(self, first: int) -> None:
        """Delete the stream and make an empty one that begins at position `first`."""
        ...

    async def send(self, records: Sequence[Record], expected_last: int) -> Flight:
        """Send as many of the records as one batch holds, without waiting until they are stored.

        It is stored only if the stream ends at `expected_last`; else the flight raises FencedOff. Raises EventTooLarge.
        """
        ...

    async def publish_batch(self, records: Sequence[Record], expected_last: int) -> int:
        """`send`, and wait; gives the last position stored."""
        ...

    def pull(self, durable: str) -> PullLoop:
        """The delivery of a durable consumer; one process at a time, the newest wins."""
        ...

    async def drop_consumer(self, durable: str) -> None:
        """Delete a durable consumer that is not needed any more."""
        ...

    async def close(self) -> None: ...
