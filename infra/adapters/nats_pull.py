"""The delivery of one durable consumer as a continuous pull.

Guarantee: in order, each message once per `start`, without waiting for a batch to fill; messages and bytes on their
way are bounded; what belongs to an earlier `start` is dropped. Nothing is acknowledged: the checkpoint in Postgres is
the truth. After ADR-37 of nats-io/nats-architecture-and-design.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import orjson

from infra.adapters.event_stream import ConsumerGone, Message, StreamUnavailable
from infra.adapters.nats_client import StreamClient
from infra.adapters.nats_frames import publish
from infra.settings import Settings

_EXPIRES_S = 30.0
_HEARTBEAT_S = 1.0
_HEARTBEATS_MISSED_MAX = 3
_PULL_BYTES_MAX = 8_388_608
_ABANDONED_S = 300
_SUBJECTS_MAX = 10_000
_STATUS = b"NATS/1.0 "
_PENDING = b"Nats-Pending-Messages: "
_HEARTBEAT, _EXPIRED, _CONFLICT = b"100", b"408", b"409"
_TOO_LARGE = b"Message Size Exceeds MaxBytes"
_GOES_ON = (_TOO_LARGE, b"Batch Completed")


class NatsPullLoop:
    """Made by `NatsEventStream.pull`. `pending`: how many messages the stream holds behind the last one that arrived."""

    def __init__(
        self, connection: Callable[[], Awaitable[StreamClient]], stream: str, durable: str, settings: Settings
    ) -> None:
        self.pending = 0
        self._connection = connection
        self._stream = stream
        self._durable = durable
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}".encode()
        self._events_max = settings.consumer_batch_events_max
        self._created = ""
        self._client: StreamClient | None = None
        self._inbox: bytes = b""
        self._subscription: int | None = None
        self._arrived: list[Message] = []
        self._arrived_bytes = 0
        self._asked_for = 0
        self._last = 0
        self._subjects: dict[bytes, str] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._ended: str | None = "It was not started."
        self._heard = False
        self._missed = 0
        self._watch: asyncio.TimerHandle | None = None

    async def start(self, after: int) -> None:
        await self._stop("It was started again.")
        self._client = client = await self._connection()
        await self._create(client)
        self._ended, self._last = None, after
        inbox = client.new_inbox()
        self._subscription = await client.attach(f"{inbox}.*", self._take)
        self._inbox = inbox.encode() + b".1"
        await client.api(f"CONSUMER.RESET.{self._stream}.{self._durable}", {"seq": after + 1})
        self._heard, self._missed = True, 0
        self._watch = asyncio.get_running_loop().call_later(_HEARTBEAT_S, self._check_heartbeat)
        self._ask()

    async def _create(self, client: StreamClient) -> None:
        """Make the durable anew, unless this loop made it: a process that was taken for dead may still pull there."""
        name = self._durable
        config = {
            "name": name,
            "durable_name": name,
            "ack_policy": "none",
            # Where it stands is in Postgres: a consumer on disk would only cost an fsync for each delivery.
            "mem_storage": True,
            "deliver_policy": "all",
            "inactive_threshold": _ABANDONED_S * 10**9,
        }
        request = {"stream_name": self._stream, "config": config}
        if self._created:
            found = await client.api(f"CONSUMER.CREATE.{self._stream}.{name}", request)
            if found["created"] == self._created:
                return
        with contextlib.suppress(ConsumerGone):
            await client.api(f"CONSUMER.DELETE.{self._stream}.{name}")
        self._created = (await client.api(f"CONSUMER.CREATE.{self._stream}.{name}", request))["created"]

    async def next(self) -> list[Message]:
        while not self._arrived:
            if self._ended is not None:
                raise ConsumerGone(self._ended)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if len(self._arrived) <= self._events_max:
            batch, self._arrived, self._arrived_bytes = self._arrived, [], 0
        else:
            batch, self._arrived = self._arrived[: self._events_max], self._arrived[self._events_max :]
            self._arrived_bytes -= sum(len(message.payload) for message in batch)
        self._ask()
        return batch

    def _ask(self) -> None:
        """Ask for one batch more whenever there is room for it: so one is on its way while another is worked on."""
        room = 2 * self._events_max - self._asked_for - len(self._arrived)
        if room >= self._events_max and self._arrived_bytes < _PULL_BYTES_MAX:
            self._pull({"batch": self._events_max, "max_bytes": _PULL_BYTES_MAX})

    def _pull(self, bounds: dict[str, int]) -> None:
        if self._ended is not None or self._client is None:
            return
        request = {**bounds, "expires": int(_EXPIRES_S * 1e9), "idle_heartbeat": int(_HEARTBEAT_S * 1e9)}
        try:
            self._client.send(publish(self._next, self._inbox, orjson.dumps(request)))
        except StreamUnavailable as broken:
            self.end(str(broken))
        else:
            self._asked_for += bounds["batch"]

    def _take(self, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self._heard = True
        if not data and headers and headers.startswith(_STATUS):
            self._take_status(headers)
            return
        self._asked_for -= 1
        # ADR-15: $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>...; the long form has <domain>.<account> before <stream>.
        tokens = reply.split(b".")
        offset = 0 if len(tokens) == 9 else 2
        seq = int(tokens[5 + offset])
        if seq <= self._last:
            return
        self._last = seq
        self.pending = int(tokens[8 + offset])
        self._arrived.append(Message(seq, self._text(subject), data))
        self._arrived_bytes += len(data)
        if self._waiter is not None:
            self._wake()

    def _text(self, subject: bytes) -> str:
        """Its subject as text: one for all messages of a tenant and type, forgotten when there are too many of them."""
        text = self._subjects.get(subject)
        if text is None:
            if len(self._subjects) >= _SUBJECTS_MAX:
                self._subjects.clear()
            text = self._subjects[subject] = subject.decode()
        return text

    def _take_status(self, headers: bytes) -> None:
        status, _, rest = headers.removeprefix(_STATUS).partition(b"\r\n")
        code, _, description = status.partition(b" ")
        if code == _HEARTBEAT:
            return
        if code != _EXPIRED and not (code == _CONFLICT and description in _GOES_ON):
            self.end(f"NATS ended the delivery: {status.decode(errors='replace')}")
            return
        unused = int(rest.partition(_PENDING)[2].partition(b"\r\n")[0] or 0)
        self._asked_for -= unused
        if description == _TOO_LARGE and unused == self._events_max:
            self._pull({"batch": 1})  # larger than all that a pull may bring: it comes only without that bound
        else:
            self._ask()

    def end(self, why: str) -> None:
        """End the delivery: what has arrived is still given, then `next` raises ConsumerGone."""
        if self._ended is None:
            self._ended = why
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    def _check_heartbeat(self) -> None:
        """A busy event loop may miss one heartbeat, a broken delivery misses them all."""
        self._missed = 0 if self._heard or self._asked_for <= 0 else self._missed + 1
        self._heard = False
        if self._missed >= _HEARTBEATS_MISSED_MAX:
            self.end("NATS sent no heartbeat.")
        elif self._ended is None:
            self._watch = asyncio.get_running_loop().call_later(_HEARTBEAT_S, self._check_heartbeat)

    async def _stop(self, why: str) -> None:
        self.end(why)
        if self._watch is not None:
            self._watch.cancel()
        if self._subscription is not None and self._client is not None:
            await self._client.detach(self._subscription)
        self._subscription = None
        self._arrived, self._arrived_bytes, self._asked_for = [], 0, 0

    async def close(self) -> None:
        await self._stop("It was closed.")
