"""A command on its way through the bus: what it looked at, what it wants to write, and what it waits for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from events.envelope import Origin
from events.event import Event
from infra.adapters.event_store import Appended
from infra.engines.stream_cache import CachedStream, Key, StreamCache
from infra.errors import Invalid, Rejection
from infra.patterns.decider import Command, Decider


class EventTooLarge(Invalid):
    """An event of this command would be larger than the log accepts."""

    status = 413


@dataclass(slots=True)
class Change:
    """What a decision wants to write to one stream; no events: that stream was only looked at.

    `before` are the version and state as the log had them, unless something was under way already; `after` the stream after it, where
    that is to be kept.
    """

    stream_id: str
    decider: Decider
    stream: CachedStream
    events: Sequence[Event] = ()
    before: tuple[int, Any] | None = None
    after: CachedStream | None = None


@dataclass(slots=True)
class Thought:
    """What a decider came to, or its refusal, about the streams that it looked at as they stood then."""

    streams: Sequence[tuple[CachedStream, int]]
    came_to: Sequence[Event] | Rejection

    def holds(self, looked_at: Sequence[tuple[CachedStream, int]]) -> bool:
        """Whether it was about just these, and nothing has moved."""
        pairs = zip(self.streams, looked_at, strict=False)
        same = all(then is now and version == at for (then, version), (now, at) in pairs)
        return len(self.streams) == len(looked_at) and same


Submitted = asyncio.Future[Appended]
Outcome = Submitted | Rejection | None


@dataclass(slots=True)
class Request:
    """A command on its way.

    `looked_at` are the streams of its last decision, `fresh` those that were read again before it, and `under_way` the appends that
    a decision to write nothing was built on. `recalled` are the events of the stream that the command recalls. `waits` if it could not be
    decided without waiting for something slow; `thought` is what came of that.
    """

    command: Command
    origin: Origin
    decider: Decider
    expected_version: int | None
    remember: bool
    looked_at: Sequence[Change] = ()
    fresh: frozenset[str] = frozenset()
    under_way: Sequence[Submitted] = ()
    recalled: Sequence[Event] | None = None
    waits: bool = False
    thought: Thought | None = None

    def streams(self) -> list[str]:
        return [change.stream_id for change in self.looked_at]

    def stream_keys(self) -> list[Key]:
        return [(self.origin.tenant_id, change.stream_id) for change in self.looked_at]


def fingerprint(command: Command) -> bytes:
    """Tells a repeated command from another under the same id: 16 bytes over its name and the fields its sender gave."""
    given = command.model_dump_json(exclude_unset=True)
    return blake2b(f"{type(command).__name__}:{given}".encode(), digest_size=16).digest()


async def load_for(requests: Sequence[Request], streams: StreamCache) -> None:
    """Load what commands are about in one query instead of one after another."""
    wanted: dict[Key, None] = {}
    for request in requests:
        tenant_id, own = request.origin.tenant_id, request.decider.stream_of(request.command)
        known = streams.find((tenant_id, own))
        state = request.decider.initial if known is None else known.state
        needed = [*request.decider.consults(request.command, state), *([] if request.command.creates else [own])]
        wanted.update(((tenant_id, stream), None) for stream in needed)
    await streams.load_all(wanted)
