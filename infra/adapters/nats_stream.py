"""The event stream on NATS JetStream: stream `EVENTS_<shard>`, published in atomic batches.

Guarantee: as of the port in event_stream.py, if JetStream syncs each write (`sync_interval: always`). NATS 2.14 or newer.
"""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, Self
from weakref import WeakSet

import structlog

from infra.adapters import nats_frames as frames
from infra.adapters.cloud_event import NotAnEvent, decode, encode
from infra.adapters.event_store import Record
from infra.adapters.event_stream import (
    ConsumerGone,
    EventTooLarge,
    Flight,
    StreamGone,
    StreamRefused,
    StreamState,
    StreamUnavailable,
)
from infra.adapters.nats_client import Sink, StreamClient
from infra.adapters.nats_flight import land
from infra.adapters.nats_pull import NatsPullLoop
from infra.adapters.wakes import Wakes
from infra.faults import crash_point
from infra.settings import Settings

log = structlog.get_logger()

BATCH_EVENTS_MAX = 1_000
"""What the server takes in one atomic batch."""
CHAIN_EVENTS_MAX = 8
"""Up to here messages go one by one: each costs one fsync, an atomic batch four and the making of files."""

_CONNECT_S_MAX = 5.0
_HEADER_BYTES_MAX = 512
_NO_MESSAGE_FOUND = 10037


class NatsEventStream:
    """One per process. `connect` does not wait for NATS: what needs it waits, for a bounded time."""

    def __init__(self, url: str, settings: Settings, name: str) -> None:
        self.shard = settings.shard
        self.stream = f"EVENTS_{settings.shard}"
        self.fresh = f"fresh.{settings.shard}"
        self.woken = asyncio.Event()
        self.disturbed = asyncio.Event()
        self._url = url
        self._name = name
        self._settings = settings
        self._subjects = frames.Subjects(settings.shard)
        self._run_id = token_hex(4).encode()
        self._batches = itertools.count(1)
        self._pulls: WeakSet[NatsPullLoop] = WeakSet()
        self._sinks: dict[str, Sink] = {}
        self._heard: dict[str, int] = {}
        # The relay looks no more often than that, and each wake costs the server and both processes something.
        self._wakes = Wakes(partial(self.tell, f"wake.{settings.shard}", b""), settings.relay_gather_s)
        self._closing = False
        self._client: StreamClient | None = None
        self._connected = asyncio.Event()
        self._opening = asyncio.create_task(self._open(), name="nats-connect")

    @classmethod
    async def connect(cls, url: str, settings: Settings, name: str = "foldwork") -> Self:
        return cls(url, settings, name)

    async def client(self) -> StreamClient:
        """The live connection. Raises StreamUnavailable if there is none within a bounded time."""
        if not self._connected.is_set():
            try:
                async with asyncio.timeout(_CONNECT_S_MAX):
                    await self._connected.wait()
            except TimeoutError:
                trouble = self._client.last_trouble if self._client else None
                raise StreamUnavailable(f"NATS cannot be reached: {trouble!r}") from None
        assert self._client is not None
        return self._client

    async def _open(self) -> None:
        self._client = client = StreamClient(self._changed)
        await client.open(self._url, self._name)
        for subject, sink in list(self._sinks.items()):
            self._heard[subject] = await client.attach(subject, sink)
        self._changed("connected")

    def _changed(self, what: str) -> None:
        """nats-py reconnects by itself; it gives up only when the server refuses us, and then we begin anew."""
        if self._closing:
            return
        log.info(f"NATS {what}", connection=self._name)
        if what == "connected":
            self._connected.set()
            self.disturbed.set()
            self.woken.set()
            return
        self._connected.clear()
        for pull in self._pulls:
            pull.end("The connection to NATS was lost.")
        if what == "closed":
            self._opening = asyncio.create_task(self._open(), name="nats-connect")

    def wake(self) -> None:
        self._wakes.wake()

    def tell(self, subject: str, payload: bytes) -> None:
        """Publish a hint, which is lost while NATS is away, or if it is larger than the server takes."""
        client = self._client if self._connected.is_set() else None
        if client is not None and client.is_connected and len(payload) <= client.max_payload:
            client.send(frames.publish(subject.encode(), b"", payload))

    async def listen(self) -> None:
        await self.hear(f"wake.{self.shard}", self._wake_up)
        await self.hear(f"$JS.EVENT.ADVISORY.STREAM.*.{self.stream}", self._stream_changed)

    @contextlib.asynccontextmanager
    async def waking(self) -> AsyncGenerator[None, None]:
        """What is written sets `woken` in this block, if NATS can be reached; outside nothing of it is even delivered."""
        subjects = f"wake.{self.shard}", self.fresh
        try:
            await asyncio.gather(*(self.hear(subject, self._wake_up) for subject in subjects))
            yield
        finally:
            await asyncio.gather(*map(self._ignore, subjects))

    def _wake_up(self, *_: bytes) -> None:
        self.woken.set()

    async def hear(self, subject: str, sink: Sink) -> None:
        """Give what is published on a subject to `sink`, across every new connection."""
        if subject in self._sinks:
            return
        self._sinks[subject] = sink
        if self._opening.done() and self._client is not None:
            # Also while it reconnects by itself: it takes its subscriptions along. A new one in its place begins with all of them.
            with contextlib.suppress(StreamUnavailable):
                self._heard[subject] = await self._client.attach(subject, sink)

    async def _ignore(self, subject: str) -> None:
        self._sinks.pop(subject, None)
        number = self._heard.pop(subject, None)
        if number is not None and self._client is not None:
            await self._client.detach(number)

    def _stream_changed(self, subject: bytes, *_: bytes) -> None:
        if b".UPDATED." not in subject:  # `adopt` causes that itself
            self.disturbed.set()
            self.woken.set()

    async def state(self) -> StreamState:
        found = (await (await self.client()).api(f"STREAM.INFO.{self.stream}"))["state"]
        messages, last = found["messages"], found["last_seq"]
        first = found["first_seq"] if messages else last + 1
        last_id = await self.event_id(last) if messages else None
        return StreamState(messages, first, last, found.get("num_deleted", 0), last_id)

    async def event_id(self, position: int) -> str | None:
        try:
            found = await (await self.client()).api(f"STREAM.MSG.GET.{self.stream}", {"seq": position})
        except StreamRefused as refused:
            if refused.err_code == _NO_MESSAGE_FOUND:
                return None
            raise
        try:
            return decode(base64.b64decode(found["message"].get("data", "")), position).id
        except NotAnEvent:
            return ""

    async def adopt(self) -> bool:
        client = await self.client()
        found = (await client.api(f"STREAM.INFO.{self.stream}"))["config"]
        wanted = self._config()
        if all(found.get(name) == value for name, value in wanted.items()):
            return True
        try:
            await client.api(f"STREAM.UPDATE.{self.stream}", {**found, **wanted})
        except StreamRefused as refused:
            log.warning("stream not adopted", stream=self.stream, cause=str(refused))
            return False
        return True

    async def recreate(self, first: int) -> None:
        await (await self.client()).replace_stream({**self._config(), "first_seq": first})

    def _config(self) -> dict[str, Any]:
        """Format: the StreamConfig of the JetStream API. No TTLs, no rollups, no purging: they would make holes."""
        config: dict[str, Any] = {
            "name": self.stream,
            "subjects": [self._subjects.captured],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": self._settings.mirror_age_s_max * 1_000_000_000,
            "max_bytes": self._settings.mirror_bytes_max,
            "allow_atomic": True,
            "allow_direct": True,
            "deny_delete": True,
            "deny_purge": True,
        }
        if self._subjects.transform is not None:
            config["subject_transform"] = self._subjects.transform
        return config

    async def send(self, records: Sequence[Record], expected_last: int) -> Flight:
        client = await self.client()
        return await self.send_bodies(self._bodies(records, client.max_payload), expected_last)

    async def send_bodies(self, bodies: Sequence[frames.Body], expected_last: int) -> Flight:
        """Send messages of any stream of the account as one batch, fenced like `send`."""
        client = await self.client()
        if len(bodies) <= CHAIN_EVENTS_MAX:
            # Each has to be asked for: where the message of another takes the place of one, those behind it fit again.
            asked = [client.expect() for _ in bodies]
            client.send(frames.chain(bodies, expected_last, [reply for reply, _ in asked]))
        else:
            asked = [client.expect()]
            batch_id = b"%b-%d" % (self._run_id, next(self._batches))
            staged, commit = frames.batch(bodies, batch_id, expected_last, asked[0][0])
            client.send(staged)
            crash_point("relay.mid_batch")
            client.send(commit)
        flight = Flight(expected_last + len(bodies), asyncio.get_running_loop().create_future())
        answers = [answer for _, answer in asked]
        for answer in answers:
            answer.add_done_callback(partial(land, flight, answers))
        try:
            await client.drain()
        except StreamUnavailable:
            flight.landed.cancel()  # nobody will ask how it ended
            raise
        return flight

    def _bodies(self, records: Sequence[Record], payload_bytes_max: int) -> list[frames.Body]:
        bodies: list[frames.Body] = []
        size = 0
        for record in records[: min(BATCH_EVENTS_MAX, self._settings.relay_batch_events_max)]:
            payload = encode(record, self.shard)
            if len(payload) + _HEADER_BYTES_MAX > payload_bytes_max:
                raise EventTooLarge(f"Event {record.id} takes {len(payload)} bytes, NATS takes {payload_bytes_max}.")
            size += len(payload)
            if bodies and size > self._settings.relay_batch_bytes_max:
                break
            bodies.append((self._subjects.of(record.tenant_id, record.type), payload))
        return bodies

    async def publish_batch(self, records: Sequence[Record], expected_last: int) -> int:
        flight = await self.send(records, expected_last)
        await flight.landed
        return flight.last

    def pull(self, durable: str) -> NatsPullLoop:
        pull = NatsPullLoop(self.client, self.stream, durable, self._settings)
        self._pulls.add(pull)
        return pull

    async def drop_consumer(self, durable: str) -> None:
        with contextlib.suppress(ConsumerGone, StreamGone):
            await (await self.client()).api(f"CONSUMER.DELETE.{self.stream}.{durable}")

    async def close(self) -> None:
        self._closing = True
        self._opening.cancel()
        await asyncio.gather(self._opening, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
