"""Tells others what happens: a consumer that publishes what follows from events, in the form and the words of others.

Guarantee: at least once and in the order of the log; under the same ids each time, so that the stream drops what it has. What is told of
an event depends on those before it: the state of each stream that is going on is kept in memory, bounded by `cached_streams_max`, and
folded again from the log for the first event after a restart.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg
import structlog

from events.envelope import Envelope
from infra.adapters.checkpoints import Effect
from infra.adapters.cloud_event import encode_notice, notice_id
from infra.adapters.event_store import EventStore, Record
from infra.adapters.nats_notices import Notice
from infra.engines.machine import Machine
from infra.engines.poison import Poison
from infra.engines.projector import Decoder, to_envelope
from infra.patterns.notices import Notices
from infra.settings import Settings

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]
Key = tuple[str, str]

RECORDS_AT_ONCE_MAX = 50
"""Other consumers of the process have their turn in between."""


class NoticeBoard(Protocol):
    """Where notices go; see infra/adapters/nats_notices.py."""

    async def prepare(self) -> None: ...
    async def publish(self, notices: Sequence[Notice]) -> None: ...


class NoticePublisher:
    """A consumer's handler."""

    kind = "saga"
    follows = False

    def __init__(
        self, notices: Notices[Any], store: EventStore, board: NoticeBoard, decoder: Decoder, settings: Settings
    ) -> None:
        self.name = notices.name
        self.version = notices.version
        self.types = frozenset(event.type for event in notices.handles)
        self._notices = notices
        self._store = store
        self._board = board
        self._decoder = decoder
        self._settings = settings
        self._states: OrderedDict[Key, tuple[int, Any]] = OrderedDict()

    async def begin(self, connection: Connection, position: int) -> None:
        self._states.clear()
        await self._board.prepare()

    async def end(self) -> None:
        """Another runner may go on with what is known here."""
        self._states.clear()

    async def rebuild(self, connection: Connection, position: int) -> int:
        """A new version goes on from where the old one stood: what was told was told."""
        return position

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        """Publishes; nothing is kept in the database but the checkpoint."""
        notices: list[Notice] = []
        for number, record in enumerate(records, 1):
            notices.extend(await self._notices_of(record))
            if number % RECORDS_AT_ONCE_MAX == 0:
                await asyncio.sleep(0)
        await self._board.publish(notices)
        return []

    async def _notices_of(self, record: Record) -> list[Notice]:
        state = await self._state_before(record)
        try:
            told = self._notices.tell(state, self._envelope(record))
        except Exception as unreadable:
            raise Poison(record) from unreadable
        key = (record.tenant_id, record.stream_id)
        self._states[key] = (record.stream_version, state)
        self._states.move_to_end(key)
        if self._notices.is_over(state):
            del self._states[key]
        elif len(self._states) > self._settings.cached_streams_max:
            self._states.popitem(last=False)
        return [
            Notice(
                record.tenant_id,
                each.kind,
                notice_id(record, number),
                encode_notice(record, number, each.type, each.data, self._store.shard),
            )
            for number, each in enumerate(told, 1)
        ]

    async def _state_before(self, record: Record) -> Any:
        """What is known of the stream before this event: in memory, else from the log, a part at a time."""
        known = self._states.pop((record.tenant_id, record.stream_id), None)
        if known is not None and known[0] < record.stream_version:
            return known[1]
        state = self._notices.begin()
        after, size = 0, self._settings.catch_up_batch_events_max
        while record.stream_version > 1:
            found = await self._store.read(
                after,
                size,
                tenant_id=record.tenant_id,
                stream_id=record.stream_id,
                types=sorted(self.types),
                until=record.position - 1,
            )
            for each in found:
                try:
                    self._notices.tell(state, self._envelope(each))
                except Exception:
                    # It was parked when it came; that others follow means that an operator discarded it.
                    log.warning("an event is passed over", consumer=self.name, position=each.position)
            if len(found) < size and found.complete:
                break
            after = found[-1].position
        return state

    def _envelope(self, record: Record) -> Envelope[Any]:
        return to_envelope(record, self._decoder)


def publishers(notices: Notices[Any], parts: Machine, decoder: Decoder) -> list[NoticePublisher]:
    """The consumer, if the operator wants it."""
    if not parts.settings.lifecycle_published:
        return []
    return [NoticePublisher(notices, parts.store, parts.notices, decoder, parts.settings)]
