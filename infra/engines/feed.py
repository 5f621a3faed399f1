"""One tail of the log for a whole process: every consumer in it reads the newest events from here.

Guarantee: `after(n)` gives the events n+1, n+2, ... without a gap and in order, from memory where it can, else from Postgres. New
events are offered by whoever writes them, and those that are not come by the mirror on JetStream; while it is away, from Postgres.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from infra.adapters.event_store import EventStore, Record, Records
from infra.cancellation import end
from infra.errors import Fault
from infra.settings import Settings

log = structlog.get_logger()


class LogWentBack(Exception):
    """The log has lost its end, as after a failover to a server that lacked it: this process must forget what it knows, and so end."""


Source = Callable[[int], AsyncIterator[list[Record]]]
"""Given a position, yields the records after it as they come, with an empty list after a silence. Raises a Fault when it breaks."""


async def read_ahead(
    store: EventStore, after: int, until: int, types: Sequence[str], size: int
) -> AsyncIterator[tuple[list[Record], int]]:
    """The events of some types in (after, until], `size` positions at a time, each with the position it reaches.

    The next part is read while the caller works on this one.
    """

    def ask(start: int) -> "asyncio.Task[Records]":
        end = min(start + size, until)
        return asyncio.create_task(store.read(start, size, types=types, until=end))

    coming = ask(after) if after < until else None
    try:
        while coming is not None:
            records = await coming
            after = min(after + size, until) if records.complete else records[-1].position
            coming = ask(after) if after < until else None
            yield records, after
    finally:
        if coming is not None:
            coming.cancel()


@dataclass(slots=True, eq=False)
class Waiting:
    """A reader that has seen all up to `position`, and what it waits for: events of its types.

    What is not of them goes by: `passed` is told, or the reader can do without it up to `until`.
    """

    position: int
    until: int
    types: Collection[str] | None
    passed: Callable[[int], None] | None
    grown: asyncio.Future[None]


def _end(grown: asyncio.Future[None]) -> None:
    if not grown.done():
        grown.set_result(None)


class Feed:
    """`run` it as a task of its own; `position` is that of the newest event it has."""

    def __init__(self, store: EventStore, source: Source, settings: Settings) -> None:
        self._store = store
        self._source = source
        self._settings = settings
        self._ring: list[Record] = []
        self._ring_bytes = 0
        self._first = 1
        self._early: dict[int, Record] = {}
        self._gap = asyncio.Event()
        self._waiting: set[Waiting] = set()
        self.position = 0
        self.running = False

    async def run(self, start: int | None = None) -> None:
        """Follow the log for ever, from its present end or from a position."""
        parts = [asyncio.create_task(self._follow(start)), asyncio.create_task(self._fill_gaps())]
        try:
            await asyncio.gather(*parts)
        finally:
            await end(*parts)

    async def _follow(self, start: int | None) -> None:
        self.position = await self._store.head() if start is None else start
        self._first = self.position + 1
        self.running = True
        following = True
        while True:
            try:
                async for records in self._source(self.position):
                    if records and not following:
                        following = True
                        log.info("mirror is back", position=self.position)
                    await self._take(records)
            except Fault as fault:
                if following:
                    log.info("mirror is away, reading the log itself", cause=str(fault))
                following = False
            await self._catch_up()
            await asyncio.sleep(self._settings.relay_poll_s_max)

    async def _take(self, records: list[Record]) -> None:
        """Keep what follows on; what is missing or out of order is read from Postgres, and so is what silence may hide."""
        fresh = [record for record in records if record.position > self.position]
        if not records:
            await self._catch_up()
        elif any(record.position != position for position, record in enumerate(fresh, self.position + 1)):
            await self._catch_up(until=max(record.position for record in fresh))
        else:
            self._keep(fresh)
        if self._early:
            self._keep(self._next_early())

    async def _catch_up(self, until: int | None = None) -> None:
        limit = self._settings.catch_up_batch_events_max
        try:
            while records := await self._store.read(self.position, limit, until=until):
                self._keep(records)
        except Fault as fault:
            log.info("log is away", cause=str(fault))

    def _keep(self, records: list[Record]) -> None:
        if not records or records[0].position != self.position + 1:
            return
        self._ring.extend(records)
        self._ring_bytes += sum([record.size for record in records])
        self.position = records[-1].position
        self._let_go()
        self._tell({record.type for record in records})

    def offer(self, records: list[Record]) -> None:
        """Events from whoever has just written them, in any order, once or more often: what is missing before them comes by the source."""
        if not self.running:
            return
        if len(self._early) + len(records) > self._settings.live_buffer_events_max:
            self._early.clear()
        self._early.update({record.position: record for record in records})
        self._keep(self._next_early())
        if self._early:
            self._gap.set()

    async def _fill_gaps(self) -> None:
        """For ever: what is missing before an event that came early is in the log, and is read there if nobody brings it soon."""
        while True:
            await self._gap.wait()
            self._gap.clear()
            await asyncio.sleep(self._settings.fresh_gather_s)
            if self._early:
                await self._catch_up()
                self._keep(self._next_early())
                self._early.clear()

    def _next_early(self) -> list[Record]:
        """Those that follow on without a gap; what has come in another way meanwhile is forgotten."""
        found: list[Record] = []
        for position in [position for position in self._early if position <= self.position]:
            del self._early[position]
        while (record := self._early.pop(self.position + len(found) + 1, None)) is not None:
            found.append(record)
        return found

    def _let_go(self) -> None:
        """Forget the oldest events, a part of the memory at a time, once there are too many or they are too large."""
        events_max, bytes_max = self._settings.live_buffer_events_max, self._settings.live_buffer_bytes_max
        surplus = len(self._ring) - events_max
        excess = self._ring_bytes - bytes_max
        if surplus <= events_max // 4 and excess <= bytes_max // 4:
            return
        gone = 0
        while gone < surplus or excess > 0:
            excess -= self._ring[gone].size
            gone += 1
        self._ring_bytes = bytes_max + excess
        del self._ring[:gone]
        self._first += gone

    def _tell(self, types: set[str]) -> None:
        """Wake those who wait for events of these types, or who have waited for so long that there is a whole batch for them."""
        for waiting in self._waiting:
            if waiting.types is None or not types.isdisjoint(waiting.types):
                _end(waiting.grown)
            elif waiting.passed is not None and not waiting.grown.done():
                # Who reads the log itself may be further than this feed, and must not be sent back.
                if self.position > waiting.position:
                    waiting.position = self.position
                    waiting.passed(self.position)
            elif self.position >= waiting.until:
                _end(waiting.grown)

    async def after(
        self,
        position: int,
        limit: int,
        timeout_s: float,
        types: Collection[str] | None = None,
        passed: Callable[[int], None] | None = None,
    ) -> list[Record]:
        """Up to `limit` events after a position; none if nothing new comes within `timeout_s`.

        With `types` events of others are not waited for: they come with the next one that is of these, or when the time is up. With
        `passed` they do not come at all while it waits: `passed(position)` says how far they went by, and what comes is from there.
        """
        if position >= self.position:
            position = await self._growth(position, limit, timeout_s, types, passed)
            if position >= self.position:
                return []
        if position + 1 < self._first:
            return await self._store.read(position, limit)
        start = position + 1 - self._first
        return self._ring[start : start + limit]

    async def _growth(
        self,
        position: int,
        limit: int,
        timeout_s: float,
        types: Collection[str] | None,
        passed: Callable[[int], None] | None,
    ) -> int:
        """Wait; gives the position up to which events went by."""
        # Every consumer of a process waits here after every batch: a task and an event for each would cost more than its work.
        loop = asyncio.get_running_loop()
        waiting = Waiting(position, position + limit, types, passed, loop.create_future())
        timer = loop.call_later(timeout_s, _end, waiting.grown)
        self._waiting.add(waiting)
        try:
            await waiting.grown
        finally:
            timer.cancel()
            self._waiting.discard(waiting)
        return waiting.position

    async def confirm(self, position: int) -> None:
        """See whether the log has what this would give after a position: a server that took over may lack it. Raises LogWentBack."""
        known = [record for record in self._ring if record.position > position]
        while known:
            part = known[: self._settings.catch_up_batch_events_max]
            found = await self._store.read(part[0].position - 1, len(part), until=part[-1].position)
            if not found or any(record.id != then.id for record, then in zip(found, part, strict=False)):
                raise LogWentBack(
                    f"The log does not have event {part[0].position}, or one behind it, as it was read before."
                )
            del known[: len(found)]

    def source_lag(self) -> dict[str, Any]:
        """For metrics: the newest position and how many events are held in memory."""
        return {"position": self.position, "held": len(self._ring), "held_bytes": self._ring_bytes}
