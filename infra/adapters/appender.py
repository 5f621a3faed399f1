"""Group commit: while one append is in flight the next ones gather, and go together in one call.

Guarantee: what is acknowledged is on disk; a version conflict or data that the log cannot hold fails only its own append; after a
lost connection the outcome is found out before anything is sent again; if this task dies, everyone who waits is told and `died` is set.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import psycopg
import structlog

from infra.adapters.append_connection import BROKEN, AppendConnection, InTheWay
from infra.adapters.append_plan import Plan, survivors, with_each_stream_once
from infra.adapters.append_turns import Turns
from infra.adapters.breakdown import is_unfit
from infra.adapters.event_store import (
    Append,
    Appended,
    AppendRefused,
    BasisLost,
    event_ids,
    has_lost_its_basis,
)
from infra.cancellation import end
from infra.errors import CommandIdReused, OutcomeUnknown, Overloaded, StoreUnavailable
from infra.faults import crash_point
from infra.settings import Settings

log = structlog.get_logger()

Waiting = tuple[Append, asyncio.Future[Appended]]

_PARTITIONS_AGAIN_S = 5.0
_CALLS_LOST_MAX = 5


class Appender:
    """One per process: the only writer of its connection."""

    def __init__(self, database_url: str, shard: int, settings: Settings) -> None:
        self._settings = settings
        self._connection = AppendConnection(database_url, shard, settings)
        self._waiting: deque[Waiting] = deque()
        self._futures: dict[int, asyncio.Future[Appended]] = {}
        self._wake = asyncio.Event()
        self._turns = Turns()
        self._ended_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._partition_end = 0
        self._partitions_at = 0.0
        self.on_append: Callable[[Plan, int], None] | None = None
        self.died: asyncio.Future[None] = self._loop.create_future()
        self._task = asyncio.create_task(self._run(), name="appender")

    def submit(self, append: Append) -> "asyncio.Future[Appended]":
        """Queue an append; the future gives the answer. Raises Overloaded when too many wait."""
        if self._task.done():
            raise StoreUnavailable("The appender of this process has ended.")
        if len(self._waiting) >= self._settings.append_queue_max:
            raise Overloaded("Too many commands wait to be written; try again shortly.")
        future: asyncio.Future[Appended] = self._loop.create_future()
        if not self._waiting:
            self._wake.set()
        if len(append.writes) != 1:
            append = with_each_stream_once(append)
        self._waiting.append((append, future))
        return future

    async def close(self) -> None:
        await end(self._task)
        # A task that is cancelled before its first step tells nobody.
        stopping = StoreUnavailable("The process is stopping.")
        self._fail_all(stopping, stopping)
        await self._connection.close()

    async def _run(self) -> None:
        try:
            while True:
                while not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                begun_at = time.monotonic()
                try:
                    await self._commit(self._gather(self._turns.share(len(self._waiting), begun_at - self._ended_at)))
                except (StoreUnavailable, OutcomeUnknown) as fault:
                    # Those behind have waited for the same server: they need not do so one group after another.
                    self._fail_all(fault, StoreUnavailable("The event store cannot be reached."))
                self._ended_at = time.monotonic()
                self._turns.took(self._ended_at - begun_at)
        except asyncio.CancelledError:
            stopped = "The process stopped while committing; repeat with the same command id."
            self._fail_all(OutcomeUnknown(stopped), StoreUnavailable("The process is stopping."))
            raise
        except BaseException as cause:
            log.critical("appender died", error=repr(cause))
            broken = OutcomeUnknown("The appender of this process broke down.")
            broken.__cause__ = cause
            self._fail_all(broken, broken)
            if not self.died.done():
                self.died.set_exception(broken)

    def _gather(self, appends_max: int) -> Plan:
        """What waits and fits together, up to the bounds; what must wait keeps its place."""
        plan, held = Plan(), deque[Waiting]()
        staying: set[asyncio.Future[Appended]] = set()
        events_max, bytes_max = self._settings.append_events_max, self._settings.append_bytes_max
        waiting, futures = self._waiting, self._futures
        while waiting and plan.events < events_max and plan.bytes < bytes_max and len(plan.appends) < appends_max:
            append, future = waiting.popleft()
            if future.done():
                continue
            after, key = append.after, id(append)
            if after and has_lost_its_basis(append):
                future.set_exception(BasisLost(append))
                continue
            # What rests on one that stays behind must not overtake it: its version may be right by chance.
            if staying.isdisjoint(after) and key not in futures and plan.admit(append):
                futures[key] = future
            else:
                held.append((append, future))
                staying.add(future)
        self._waiting.extendleft(reversed(held))
        return plan

    async def _commit(self, plan: Plan) -> None:
        """Bring a plan to its end; each call either writes it or shows who has to leave it."""
        calls_lost = 0
        while plan.appends:
            head: int | None
            try:
                head = await self._connection.call(plan)
            except InTheWay as refused:
                plan = await self._without_refused(plan, refused)
                continue
            except (*BROKEN, psycopg.Error, ValueError, TypeError) as failure:
                if self._connection.is_refusal(failure):
                    plan = await self._isolate(plan, failure)
                    continue
                log.warning("connection lost while appending", error=type(failure).__name__)
                head = await self._connection.find_out(plan)
                if head is None:
                    calls_lost += 1
                    if calls_lost > _CALLS_LOST_MAX:
                        raise StoreUnavailable("The event store breaks the connection again and again.") from failure
                    continue
            crash_point("append.after_commit")
            written = list(zip(plan.appends, map(self._futures.pop, map(id, plan.appends)), strict=True))
            # What waits is sent first: the database writes it while those who are answered go on.
            self._loop.call_soon(self._acknowledge, written, plan, head)
            await self._keep_partitions(head + plan.events)
            return

    def _acknowledge(self, written: list[Waiting], plan: Plan, head: int) -> None:
        position, new = head, tuple.__new__
        for append, future in written:
            ids = event_ids(append)
            position += len(ids)
            if not future.done():
                stream_id, expected, events = append.writes[0]
                # What Appended does when it is called, without the call.
                answer = new(Appended, (stream_id, expected + len(events), position, ids, False))
                future.set_result(answer)
        if self.on_append is not None:
            self.on_append(plan, head)

    async def _without_refused(self, plan: Plan, refused: InTheWay) -> Plan:
        """Answer those that the log refused; the rest goes again at once."""
        mates = {self._futures[id(append)]: id(append) for append in plan.appends}
        bases = {id(a): [mates[each] for each in a.after if each in mates] for a in plan.appends if a.after}
        going, conflicts, answered = survivors(plan, refused.moved, refused.known, bases)
        for append, reason in conflicts:
            self._settle(append, reason)
        for append in answered:
            await self._answer_again(append)
        rest = Plan()
        for append in going:
            if not rest.admit(append):
                self._wait_again(append)
        return rest

    async def _answer_again(self, append: Append) -> None:
        try:
            self._settle(append, await self._connection.answer(append))
        except CommandIdReused as reused:
            self._settle(append, reused)
        except BROKEN:
            self._wait_again(append)

    async def _isolate(self, plan: Plan, refusal: Exception) -> Plan:
        """The database refuses something in this plan: one alone fails, several are tried in halves."""
        if isinstance(refusal, psycopg.errors.CheckViolation) and await self._make_partitions(plan.events):
            return plan
        if len(plan.appends) == 1:
            fault = (AppendRefused if is_unfit(refusal) else StoreUnavailable)("The database refused this append.")
            fault.__cause__ = refusal
            log.error("append refused", error=type(refusal).__name__, sqlstate=getattr(refusal, "sqlstate", None))
            self._settle(plan.appends[0], fault)
            return Plan()
        half = Plan()
        size = len(plan.appends) // 2
        for append in plan.appends[:size]:
            half.admit(append)
        for append in reversed(plan.appends[size:]):
            self._wait_again(append)
        return half

    async def _keep_partitions(self, head: int) -> None:
        """Half a partition ahead of the log. It is early: what cannot be done now is tried again a little later."""
        clock = self._loop.time
        if head + self._settings.partition_events // 2 < self._partition_end or clock() < self._partitions_at:
            return
        if not await self._make_partitions(0):
            self._partitions_at = clock() + _PARTITIONS_AGAIN_S

    async def _make_partitions(self, events: int) -> bool:
        """False if there is no room that was not there before."""
        end = await self._connection.make_partitions(events)
        if end is None or end <= self._partition_end:
            return False
        self._partition_end = end
        return True

    def _settle(self, append: Append, answer: Appended | Exception) -> None:
        future = self._futures.pop(id(append))
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _wait_again(self, append: Append) -> None:
        self._waiting.appendleft((append, self._futures.pop(id(append))))

    def _fail_all(self, in_flight: Exception, waiting: Exception) -> None:
        futures = [(future, in_flight) for future in self._futures.values()]
        futures.extend((future, waiting) for _, future in self._waiting)
        self._futures.clear()
        self._waiting.clear()
        for future, fault in futures:
            if not future.done():
                future.set_exception(fault)
