"""The event stream in memory: the same contract as the one on JetStream, for tests that need no server."""

import asyncio
from collections.abc import Sequence

from infra.adapters.cloud_event import NotAnEvent, decode, encode
from infra.adapters.event_store import Record
from infra.adapters.event_stream import ConsumerGone, FencedOff, Flight, Message, StreamGone, StreamState
from infra.adapters.nats_frames import token
from infra.settings import Settings


class MemoryEventStream:
    """Keeps messages by position in `messages`; a test may take some away. `last` outlives them, as on JetStream."""

    def __init__(self, settings: Settings) -> None:
        self.shard = settings.shard
        self.woken = asyncio.Event()
        self.disturbed = asyncio.Event()
        self.messages: dict[int, Message] = {}
        self.first, self.last = 1, 0
        self._settings = settings
        self._exists = False
        self._pulls: dict[str, MemoryPullLoop] = {}

    def wake(self) -> None:
        self.woken.set()

    async def listen(self) -> None:
        return None

    def delete(self) -> None:
        """Lose the stream with its consumers."""
        self._exists = False
        self.messages.clear()
        for pull in self._pulls.values():
            pull.end()
        self._pulls.clear()
        self.disturbed.set()
        self.woken.set()

    def _must_exist(self) -> None:
        if not self._exists:
            raise StreamGone

    async def state(self) -> StreamState:
        self._must_exist()
        deleted = self.last - self.first + 1 - len(self.messages)
        last_id = await self.event_id(self.last) if self.last in self.messages else None
        return StreamState(len(self.messages), self.first, self.last, deleted, last_id)

    async def event_id(self, position: int) -> str | None:
        self._must_exist()
        if position not in self.messages:
            return None
        try:
            return decode(self.messages[position].payload, position).id
        except NotAnEvent:
            return ""

    async def adopt(self) -> bool:
        self._must_exist()
        return True

    async def recreate(self, first: int) -> None:
        self.delete()
        self._exists = True
        self.first, self.last = first, first - 1

    async def send(self, records: Sequence[Record], expected_last: int) -> Flight:
        taken = records[: self._settings.relay_batch_events_max]
        flight = Flight(expected_last + len(taken), asyncio.get_running_loop().create_future())
        try:
            self._must_exist()
            if expected_last != self.last:
                raise FencedOff(f"wrong last sequence: {self.last}")
        except (StreamGone, FencedOff) as fault:
            flight.landed.set_exception(fault)
            return flight
        for record in taken:
            self.last += 1
            subject = f"evt.{token(record.tenant_id)}.{record.type}"
            self.messages[self.last] = Message(self.last, subject, encode(record, self.shard))
        flight.landed.set_result(None)
        for pull in self._pulls.values():
            pull.grown.set()
        return flight

    async def publish_batch(self, records: Sequence[Record], expected_last: int) -> int:
        flight = await self.send(records, expected_last)
        await flight.landed
        return flight.last

    def pull(self, durable: str) -> "MemoryPullLoop":
        return MemoryPullLoop(self, durable)

    async def drop_consumer(self, durable: str) -> None:
        pull = self._pulls.pop(durable, None)
        if pull is not None:
            pull.end()

    async def begin(self, durable: str, pull: "MemoryPullLoop") -> None:
        self._must_exist()
        await self.drop_consumer(durable)
        self._pulls[durable] = pull

    async def close(self) -> None:
        return None


class MemoryPullLoop:
    """Made by `MemoryEventStream.pull`."""

    def __init__(self, stream: MemoryEventStream, durable: str) -> None:
        self.grown = asyncio.Event()
        self._stream = stream
        self._durable = durable
        self._last = 0
        self._alive = False

    async def start(self, after: int) -> None:
        await self._stream.begin(self._durable, self)
        self._last, self._alive = after, True

    async def next(self) -> list[Message]:
        while True:
            self.grown.clear()
            if not self._alive:
                raise ConsumerGone
            found = [self._stream.messages[seq] for seq in sorted(self._stream.messages) if seq > self._last]
            if found:
                self._last = found[-1].seq
                return found
            await self.grown.wait()

    def end(self) -> None:
        self._alive = False
        self.grown.set()

    async def close(self) -> None:
        self.end()
