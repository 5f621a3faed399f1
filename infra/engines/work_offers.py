"""Offers work to workers: a consumer that puts what begins in the log on a queue, and takes back what ends without a worker.

Guarantee: at least once. What is offered was open when its stream was read, and all that is open is offered again when the queue was
lost: the queue can be made anew from the log, like the mirror.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg
import structlog

from events.envelope import Envelope
from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import EventStore, Record
from infra.adapters.nats_work import Item
from infra.engines.feed import read_ahead
from infra.engines.poison import Poison
from infra.engines.projector import Decoder, to_envelope
from infra.errors import Fault
from infra.patterns.work import Work
from infra.settings import Settings

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]

_KEPT = "SELECT sequence FROM work_queue WHERE consumer = %s AND shard = %s"
_KEEP = """
INSERT INTO work_queue (consumer, shard, sequence) SELECT consumer, shard, %s::bigint FROM {source}
ON CONFLICT (consumer, shard) DO UPDATE SET sequence = EXCLUDED.sequence
"""
_KEEP_NOW = _KEEP.format(source="checkpoint WHERE (consumer, shard) = (%s, %s)").encode()


class WorkQueue(Protocol):
    """Where work is offered; see infra/adapters/nats_work.py."""

    sequence: int

    async def prepare(self, sequence: int) -> bool: ...
    async def filled(self) -> None: ...
    async def offer(self, items: Sequence[Item]) -> None: ...
    async def withdraw(self, works: Sequence[tuple[str, str]]) -> None: ...


class WorkOffers:
    """A consumer's handler. Run `watch` as a task of its own: it notices when the queue is lost."""

    kind = "saga"
    follows = False

    def __init__(self, work: Work, store: EventStore, queue: WorkQueue, decoder: Decoder, settings: Settings) -> None:
        self.name = work.name
        self.version = work.version
        self._begins = frozenset(event.type for event in work.begins)
        self._ends = frozenset(event.type for event in work.ends)
        self._told = self._begins | self._ends | {event.type for event in work.tells}
        self.types = self._begins | self._ends
        self._work = work
        self._store = store
        self._queue = queue
        self._decoder = decoder
        self._settings = settings
        self._lock = asyncio.Lock()
        self._reached: int | None = None
        self._filled_to = 0

    async def begin(self, connection: Connection, position: int) -> None:
        key = self.name, self._store.shard
        kept = await (await connection.execute(_KEPT, key)).fetchone()
        self._reached, self._filled_to = position, 0 if kept is None else kept[0]
        await self._prepare()
        await connection.execute(_KEEP_NOW, (self._filled_to, *key))

    async def watch(self) -> None:
        """See every `work_watch_s` whether the queue is still there, for ever."""
        while True:
            await asyncio.sleep(self._settings.work_watch_s)
            if self._reached is not None:
                try:
                    await self._prepare()
                except Fault as away:
                    log.info("work queue is away", cause=away.code)

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        """Offers and withdraws; nothing is kept in the database but the checkpoint and how far the queue has come."""
        async with self._lock:
            await self._offer([record for record in records if record.type in self._begins])
            over = [record for record in records if record.type in self._ends and self._leaves_offer(record)]
            await self._queue.withdraw([(record.tenant_id, _entity_id(record)) for record in over])
            self._reached = max(self._reached or 0, position)
            if self._queue.sequence == self._filled_to:
                return []
            self._filled_to = self._queue.sequence
        return [Effect(_KEEP.format(source="moved"), (self._filled_to,))]

    async def end(self) -> None:
        """From now on the queue is the business of another runner."""
        self._reached = None

    async def rebuild(self, connection: Connection, position: int) -> int:
        return position

    async def _prepare(self) -> None:
        """Make the queue if there is none, and fill it with what is open."""
        async with self._lock:
            if not await self._queue.prepare(self._filled_to):
                self._filled_to = self._queue.sequence
                return
            size, until = self._settings.catch_up_batch_events_max, self._reached or 0
            async for records, _ in read_ahead(self._store, 0, until, list(self._begins), size):
                await self._offer(records, past=True)
            await self._queue.filled()
            self._filled_to = self._queue.sequence
            log.info("work queue is filled", work=self.name, position=until)

    async def _offer(self, records: Sequence[Record], *, past: bool = False) -> None:
        size = self._settings.load_streams_max
        for start in range(0, len(records), size):
            await self._offer_part(records[start : start + size], past)

    async def _offer_part(self, records: Sequence[Record], past: bool) -> None:
        """Offer what is still open; of what is `past` that cannot be read was parked when it came."""
        streams = {(record.tenant_id, record.stream_id): record for record in records}
        histories = await asyncio.gather(*(self._store.load(*stream) for stream in streams))
        items = []
        for record, history in zip(streams.values(), histories, strict=True):
            try:
                offer = self._work.offer([self._envelope(each) for each in history if each.type in self._told])
            except Exception as unreadable:
                if past:
                    continue
                raise Poison(record) from unreadable
            if offer is not None and (past or not offer.begun):
                items.append(Item(record.tenant_id, offer.worker, _entity_id(record), offer.content))
        await self._queue.offer(items)

    def _leaves_offer(self, record: Record) -> bool:
        try:
            return self._work.leaves_offer(self._envelope(record))
        except Exception as unreadable:
            raise Poison(record) from unreadable

    def _envelope(self, record: Record) -> Envelope[Any]:
        return to_envelope(record, self._decoder)


def _entity_id(record: Record) -> str:
    return record.stream_id.partition("-")[2]
