"""What a consumer does with events: the port that projectors, sagas, performers and offers of work are written to."""

from collections.abc import Sequence
from typing import Any, Protocol

import psycopg

from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import Record

Connection = psycopg.AsyncConnection[Any]


class Handler(Protocol):
    """What a consumer does with events. `types` are the event types it is interested in.

    `follows`: its checkpoint comes after it, every `consumer_control_poll_s`, and so does what it writes: it gives that when it is asked
    for effects of no events. To take the events before that again would do no harm.
    """

    name: str
    kind: str
    version: int
    types: frozenset[str]
    follows: bool

    async def begin(self, connection: Connection, position: int) -> None:
        """Forget everything, and get ready to go on after `position`."""

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> Sequence[Effect]:
        """What these events change, to be written with the checkpoint, which moves to `position`; this only reads, and sends commands.

        Raises Poison for an event that cannot be handled. One that was parked comes alone, after later ones; none comes when one
        was discarded.
        """
        ...

    async def end(self) -> None:
        """Another runner may act from now on: let go of whatever is under way."""
        ...

    async def rebuild(self, connection: Connection, position: int) -> int:
        """Begin anew from position 0 and catch up beyond `position`; gives the new position, its effects in the open transaction."""
        ...
