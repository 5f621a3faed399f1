"""What the tests of the relay share: a lease without a server, a log to append to, a stream to compare, a consumer."""

import asyncio
from datetime import UTC, datetime

from infra.adapters.cloud_event import NotAnEvent, decode
from infra.adapters.event_store import Append, EventStore, NewEvent, Write
from infra.adapters.event_stream import ConsumerGone, EventStream, StreamGone, StreamUnavailable
from infra.adapters.lease import LeaseLost
from infra.ids import new_uuid7

METADATA = b'{"actor":"user:alice","command_id":"c1","correlation_id":"c1","causation_id":"c1"}'


class FreeLease:
    """A lease that nobody disputes, until a test takes it away."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.waiting_well = True

    async def acquire(self) -> None:
        await self.free.wait()
        self.lost.clear()

    async def confirm(self) -> None:
        if self.lost.is_set():
            raise LeaseLost

    async def release(self) -> None:
        self.lost.set()

    def take_away(self) -> None:
        self.free.clear()
        self.lost.set()


async def append(store: EventStore, count: int, chunk: int = 1) -> None:
    """Append events to one stream, `chunk` of them at a time."""
    for _ in range(count // chunk):
        at = await store.head()
        events = [NewEvent("agent.started", 1, b'{"n":%d}' % (at + 1), new_uuid7()) for _ in range(chunk)]
        await store.append(Append("acme", [Write("agent-1", at, events)], datetime.now(UTC), METADATA))


class Reader:
    """A consumer that keeps the positions and ids it took, in order, and fills from the log what the stream lacks."""

    def __init__(self, store: EventStore, stream: EventStream) -> None:
        self.taken: list[tuple[int, str]] = []
        self._store = store
        self._delivery = stream.pull("reader")

    async def run(self) -> None:
        while True:
            try:
                await self._delivery.start(len(self.taken))
                while True:
                    for message in await self._delivery.next():
                        await self._take(message.seq, decode(message.payload, message.seq).id)
            except (ConsumerGone, StreamGone, StreamUnavailable):
                await asyncio.sleep(0.02)
            except NotAnEvent:
                await self._fill(len(self.taken) + 1)

    async def _take(self, position: int, event_id: str) -> None:
        if position > len(self.taken) + 1:
            await self._fill(position - 1)
        if position == len(self.taken) + 1:
            self.taken.append((position, event_id))

    async def _fill(self, until: int) -> None:
        last = len(self.taken)
        self.taken.extend((record.position, record.id) for record in await self._store.read(last, until - last))


async def log_of(store: EventStore) -> list[tuple[int, str]]:
    return [(record.position, record.id) for record in await store.read(0, 1_000_000)]


async def mirror_of(stream: EventStream) -> list[tuple[int, str]]:
    """What the stream holds, position by position; a message that says another position than its own has the id ''."""
    state = await stream.state()
    delivery = stream.pull("comparison")
    found: list[tuple[int, str]] = []
    await delivery.start(0)
    while len(found) < state.messages:
        for message in await delivery.next():
            record = decode(message.payload)
            found.append((message.seq, record.id if record.position == message.seq else ""))
    await delivery.close()
    return found


async def becomes_equal(store: EventStore, stream: EventStream, within_s: float = 8.0) -> None:
    """Wait until the stream is the log, position by position."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if (await stream.state()).last == await store.head() and await mirror_of(stream) == await log_of(store):
                    return
            except (ConsumerGone, StreamGone, StreamUnavailable):
                pass
            await asyncio.sleep(0.05)
