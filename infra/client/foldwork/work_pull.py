"""Takes offers from the work queue: a pull consumer that all workers of one agent share, asked for as much as there is room for.

Guarantee: what is taken and not acknowledged comes again, here or to another worker, after `ack_wait_s`. The delivery begins anew when the
connection, the consumer or the queue was lost. Format: ADR-37 of nats-io/nats-architecture-and-design.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

log = logging.getLogger("foldwork")

EXPIRES_S = 30.0
HEARTBEAT_S = 1.0
HEARTBEATS_MISSED_MAX = 3
API_S_MAX = 5.0
PAUSE_S = 0.25
ABANDONED_S = 30 * 24 * 3_600
ACK_PENDING_MAX = 100_000
_UNSAFE = re.compile(r"[^A-Za-z0-9_~-]")
_GOES_ON = ("Batch Completed", "Message Size Exceeds MaxBytes")


def token(text: str) -> str:
    """A text as one token of a subject: what is not a letter, a digit, `_`, `~` or `-` becomes `=XX` for each byte."""
    return _UNSAFE.sub(lambda found: "".join(f"={byte:02X}" for byte in found.group().encode()), text)


class QueueNotReady(Exception):
    """There is no work queue yet, or no consumer of it any more."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An offer, and the subject on which it is acknowledged; `attempt` counts from 1."""

    payload: bytes
    reply: str
    attempt: int

    @classmethod
    def of(cls, message: Msg) -> "Delivery":
        # $JS.ACK.<stream>.<consumer>.<delivered>. ...; the long form has <domain>.<account> before <stream>.
        tokens = message.reply.split(".")
        return cls(message.data, message.reply, int(tokens[4 if len(tokens) == 9 else 6]))


class WorkPull:
    """`run` it as a task of its own, and call `ask` whenever there is room again."""

    def __init__(
        self,
        nats: Nats,
        tenant: str,
        agent_id: str,
        *,
        shard: int,
        ack_wait_s: float,
        room: Callable[[], int],
        take: Callable[[Delivery], None],
    ) -> None:
        self._nats = nats
        self._stream = f"WORK_{shard}"
        self._durable = f"worker-{token(tenant)}-{token(agent_id)}"
        self._filter = f"work.{token(tenant)}.{token(agent_id)}.*"
        self._ack_wait_s = ack_wait_s
        self._room = room
        self._take = take
        self._inbox = ""
        self._asked = 0
        self._heard = 0.0
        self._ended = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Deliver for ever."""
        level = logging.INFO
        while True:
            try:
                await self._create()
                level = logging.INFO
                await self._deliver()
            except (NatsError, OSError, QueueNotReady) as lost:
                log.log(level, "work is not delivered: %r", lost)
                level = logging.DEBUG  # it is tried again several times a second
            await asyncio.sleep(PAUSE_S)

    def ask(self) -> None:
        """Ask soon for as much as there is room for then: what ends at the same moment makes room together."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_soon())

    async def _ask_soon(self) -> None:
        try:
            await self._ask()
        except (NatsError, OSError):
            self.disturb()

    async def _ask(self) -> None:
        """A little room is left until it is worth a request."""
        room = self._room()
        wanted = room - self._asked
        if not self._inbox or wanted <= 0 or (self._asked and wanted * 4 < room + self._asked):
            return
        self._asked += wanted
        request = {"batch": wanted, "expires": int(EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        await self._nats.publish(subject, orjson.dumps(request), self._inbox)

    def disturb(self) -> None:
        """Begin anew: the connection was lost, and with it what was asked for."""
        self._ended.set()

    async def _create(self) -> None:
        """Make the consumer; nothing happens if it is there already."""
        config = {
            "name": self._durable,
            "durable_name": self._durable,
            "filter_subject": self._filter,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self._ack_wait_s * 1e9),
            "max_deliver": -1,
            "max_ack_pending": ACK_PENDING_MAX,
            "inactive_threshold": ABANDONED_S * 1_000_000_000,
            # What matters is in the stream: it holds an offer until it is acknowledged.
            "mem_storage": True,
        }
        request = orjson.dumps({"stream_name": self._stream, "config": config})
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._durable}"
        answer: dict[str, Any] = orjson.loads((await self._nats.request(subject, request, timeout=API_S_MAX)).data)
        if "error" in answer:
            raise QueueNotReady(answer["error"].get("description"))

    async def _deliver(self) -> None:
        """Until the delivery breaks off."""
        self._ended.clear()
        self._asked, self._heard = 0, asyncio.get_running_loop().time()
        inbox = self._nats.new_inbox()
        subscription = await self._nats.subscribe(inbox, cb=self._arrived)
        self._inbox = inbox
        try:
            while not self._ended.is_set():
                await self._ask()
                try:
                    await asyncio.wait_for(self._ended.wait(), HEARTBEAT_S)
                except TimeoutError:
                    silent_s = asyncio.get_running_loop().time() - self._heard
                    if self._asked > 0 and silent_s > HEARTBEATS_MISSED_MAX * HEARTBEAT_S:
                        raise QueueNotReady("NATS sent no heartbeat.") from None
        finally:
            self._inbox = ""
            if not self._nats.is_closed:
                await subscription.unsubscribe()

    async def _arrived(self, message: Msg) -> None:
        if message.subject == self._inbox and not message.reply:
            await self._status(message.headers or {})
            return
        self._heard = asyncio.get_running_loop().time()
        self._asked -= 1
        self._take(Delivery.of(message))

    async def _status(self, headers: dict[str, str]) -> None:
        self._heard = asyncio.get_running_loop().time()
        status, description = headers.get("Status", ""), headers.get("Description", "")
        if status == "100":
            return
        self._asked -= int(headers.get("Nats-Pending-Messages", 0))
        if status == "408" or description in _GOES_ON:
            await self._ask()
        else:
            log.info("work is not delivered: %s %s", status, description)
            self._ended.set()
