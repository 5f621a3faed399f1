"""The relay: publishes the log on the event stream, and makes the stream again what the log says it must be.

Guarantee: message n of the stream is event n of the log, or there is no message n yet. There is no cursor: the stream's own end is
where the relay goes on, once it was compared with the log. One relay per shard is active (lease); one that believes it is and is not
any more is refused by the stream, because each batch names the position that it must follow.
"""

import asyncio
import contextlib
import random
from collections import deque
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from infra.adapters.cloud_event import encode
from infra.adapters.event_store import EventStore
from infra.adapters.event_stream import EventStream, Flight, StreamGone, StreamState
from infra.adapters.lease import Lease, LeaseLost
from infra.cancellation import end
from infra.errors import Fault
from infra.faults import crash_point
from infra.settings import Settings

log = structlog.get_logger()

FLIGHTS_MAX = 2
ATTEMPTS_MAX = 8
RETRY_S_MIN, RETRY_S_MAX = 0.05, 2.0
SETTLE_SAMPLES, AUDIT_SAMPLES = 4, 1
"""How many events of the stream are compared with the log. For each, JetStream reads a block of up to 8 MiB and keeps it for seconds."""
SETTLE_NEWEST = 16
"""And the newest ones: where another message came in between small batches it is among those, two flights of up to eight."""
_SIZE_SAMPLES = 200
_MESSAGE_BYTES_EXTRA = 160
"""What JetStream stores for a message beside its payload: subject, batch headers, record header and hash."""


class MirrorDamaged(Fault):
    """The stream is not what the log says."""


class Flaw(NamedTuple):
    """What is wrong with the stream: a word for the metrics and a sentence for people."""

    cause: str
    detail: str


class RelayMetrics:
    """What the relay counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.relayed = Counter("foldwork_relay_events", "Events stored on the stream.", registry=registry)
        self.position = Gauge("foldwork_relay_position", "The last position stored on the stream.", registry=registry)
        self.lag = Gauge(
            "foldwork_relay_lag_events", "Events in the log that are not on the stream yet.", registry=registry
        )
        self.active = Gauge(
            "foldwork_relay_active", "1 while this relay is the active one of its shard.", registry=registry
        )
        self.heals = Counter("foldwork_relay_heals", "Repairs of the stream.", ["cause"], registry=registry)
        self.retries = Counter("foldwork_relay_retries", "Attempts that failed.", ["cause"], registry=registry)


class Relay:
    """`run` it as a task of its own. `state` is standby, checking, behind or live; `position` what is known to be stored."""

    def __init__(
        self, store: EventStore, stream: EventStream, settings: Settings, lease: Lease, registry: CollectorRegistry
    ) -> None:
        self.state = "standby"
        self.position = 0
        self._store = store
        self._stream = stream
        self._settings = settings
        self._lease = lease
        self._metrics = RelayMetrics(registry)
        self._attempts = 0
        self._audit_at = 0.0
        self._suspect = 0
        self._measured_at = float("-inf")

    @property
    def ready(self) -> bool:
        """Whether it has caught up, or could take over."""
        return self.state == "live" or (self.state == "standby" and self._lease.waiting_well)

    def _enter(self, state: str, **details: object) -> None:
        if state != self.state:
            self.state = state
            log.info(f"relay is {state}", shard=self._stream.shard, position=self.position, **details)

    async def run(self) -> None:
        """Relay whenever the lease is ours, for ever."""
        await self._stream.listen()
        while True:
            self._enter("standby")
            try:
                await self._lease.acquire()
                self._metrics.active.set(1)
                await self._while_leased()
            except Fault as fault:
                log.warning("relay resigns", shard=self._stream.shard, cause=repr(fault))
            finally:
                self._metrics.active.set(0)
                await self._lease.release()
            # Leave the lease to another relay that may reach what this one cannot.
            await asyncio.sleep(random.uniform(1.0, 2.0))

    async def _while_leased(self) -> None:
        work = asyncio.create_task(self._relay(), name="relay")
        lost = asyncio.create_task(self._lease.lost.wait())
        try:
            await asyncio.wait((work, lost), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            raise LeaseLost
        finally:
            await end(work, lost)

    async def _relay(self) -> None:
        """Check, heal, follow; whatever goes wrong, begin again, a bounded number of times in a row."""
        self._attempts = 0
        while True:
            try:
                self._stream.disturbed.clear()
                self._enter("checking")
                self.position = await self._settle()
                self._metrics.position.set(self.position)
                await self._follow(self.position)
            except LeaseLost:
                raise
            except Fault as fault:
                self._attempts += 1
                self._metrics.retries.labels(fault.code).inc()
                self._enter("checking")
                log.warning("relay tries again", shard=self._stream.shard, attempt=self._attempts, cause=repr(fault))
                if self._attempts >= ATTEMPTS_MAX:
                    raise
                pause_s = min(RETRY_S_MIN * 2**self._attempts, RETRY_S_MAX)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _follow(self, last: int) -> None:
        """Publish what comes after `last`, two batches on their way at once, until the stream is disturbed."""
        settings, stream = self._settings, self._stream
        flights: deque[Flight] = deque()
        idle_s = settings.relay_poll_s_min
        clock, gathered_at, full = asyncio.get_running_loop().time, float("-inf"), False
        self._audit_later()
        try:
            while not stream.disturbed.is_set():
                if not full:
                    await asyncio.sleep(max(0.0, gathered_at + settings.relay_gather_s - clock()))
                gathered_at = clock()
                stream.woken.clear()
                records = await self._store.read(last, settings.relay_batch_events_max)
                crash_point("relay.after_read")
                if records and records[-1].position != last + len(records):
                    raise MirrorDamaged(f"the log has no event {last + 1}, or a gap behind it")
                full = len(records) == settings.relay_batch_events_max or not records.complete
                if full:
                    await self._see_how_far_behind()
                while records:
                    flight = await stream.send(records, last)
                    flights.append(flight)
                    del records[: flight.last - last]
                    last = flight.last
                    if len(flights) >= FLIGHTS_MAX:
                        await self._land(flights)
                    idle_s = settings.relay_poll_s_min
                if not full:
                    while flights:
                        await self._land(flights)
                    self._caught_up()
                    idle_s = await self._rest(idle_s)
                await self._audit_if_due(last)
        finally:
            for flight in flights:
                if not flight.landed.cancel() and not flight.landed.cancelled():
                    flight.landed.exception()  # it failed for the same cause as the one before it

    async def _land(self, flights: deque[Flight]) -> None:
        flight = flights[0]
        await flight.landed
        crash_point("relay.after_publish")
        flights.popleft()
        self._metrics.relayed.inc(flight.last - self.position)
        self._metrics.position.set(flight.last)
        self.position = flight.last
        self._attempts = 0

    async def _see_how_far_behind(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._measured_at + 1.0:
            return
        self._measured_at = now
        head = await self._store.head()
        self._metrics.lag.set(head - self.position)
        if self.state != "live":
            self._enter("behind", head=head)

    def _caught_up(self) -> None:
        self._attempts = 0
        self._metrics.lag.set(0)
        self._enter("live")

    async def _rest(self, idle_s: float) -> float:
        """Wait for a wake, at most `idle_s`; gives how long to wait the next time if nothing comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(idle_s):
                await self._stream.woken.wait()
        return min(2 * idle_s, self._settings.relay_poll_s_max)

    def _audit_later(self) -> None:
        self._audit_at = asyncio.get_running_loop().time() + self._settings.mirror_audit_s

    async def _audit_if_due(self, sent: int) -> None:
        if asyncio.get_running_loop().time() < self._audit_at:
            return
        self._audit_later()
        state = await self._stream.state()
        flaw = await self._flaw(state, sent, AUDIT_SAMPLES)
        if flaw is not None:
            raise MirrorDamaged(flaw.detail)
        if state.last < self.position:
            raise MirrorDamaged(f"the stream ends at {state.last}, {self.position} was stored")

    async def _settle(self) -> int:
        """Compare the stream with the log and heal it; gives the position from which to publish."""
        try:
            state = await self._stream.state()
            head = await self._store.head()
            flaw = await self._flaw(state, head, SETTLE_SAMPLES, SETTLE_NEWEST)
            if flaw is None and not await self._stream.adopt():
                flaw = Flaw("config", "the stream is of another kind")
        except StreamGone:
            flaw = Flaw("gone", "there is no stream")
        if flaw is None:
            if state.last < self.position:
                self._heal(Flaw("tail", f"the stream ends at {state.last}, {self.position} was stored"))
            return state.last
        await self._lease.confirm()  # a stream is not fenced against being deleted
        self._heal(flaw)
        first = await self._first_wanted()
        await self._stream.recreate(first)
        self._suspect = 0
        return first - 1

    def _heal(self, flaw: Flaw) -> None:
        self._metrics.heals.labels(flaw.cause).inc()
        log.warning("relay heals the stream", shard=self._stream.shard, cause=flaw.cause, detail=flaw.detail)

    async def _flaw(self, state: StreamState, end: int, samples: int, newest: int = 0) -> Flaw | None:
        """What is wrong with a stream that may reach up to `end`, None if it is as the log says."""
        if not state.whole:
            return Flaw(
                "holes", f"{state.messages} messages from {state.first} to {state.last}, {state.deleted} deleted"
            )
        if state.last > end:
            return Flaw("beyond", f"the stream ends at {state.last}, the log at {end}")
        if state.last + 1 < await self._store.first_position():
            return Flaw("stale", f"the stream ends at {state.last}, and the log does not have what follows")
        if not state.messages:
            return None
        positions = {self._suspect, *(random.randint(state.first, state.last) for _ in range(samples))}
        positions.update(range(state.last - newest, state.last))
        for position in sorted(each for each in positions if state.first <= each < state.last):
            if await self._differs(position, await self._stream.event_id(position)):
                self._suspect = position  # so that who heals finds it again
                return Flaw("other", f"another event is at {position}")
        if await self._differs(state.last, state.last_id):
            return Flaw("other", f"another event is at {state.last}")
        return None

    async def _differs(self, position: int, event_id: str | None) -> bool:
        """Whether the log has another event there. One that the stream or the log has let go by its age is none."""
        records = await self._store.read(position - 1, 1, until=position)
        if event_id is None:
            return position >= (await self._stream.state()).first
        return bool(records) and records[0].id != event_id

    async def _first_wanted(self) -> int:
        """Where a new stream begins: with the log, or as much later as it takes to fit into the bytes that the stream may hold."""
        first, head = await self._store.first_position(), await self._store.head()
        records = await self._store.read(max(head - _SIZE_SAMPLES, 0), _SIZE_SAMPLES)
        if not records:
            return first
        size = sum(len(encode(record, self._stream.shard)) + _MESSAGE_BYTES_EXTRA for record in records) / len(records)
        return max(first, head - int(self._settings.mirror_bytes_max / size) + 1)
