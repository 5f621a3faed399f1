"""Events straight from whoever has written them to the consumers of all processes, past the mirror, over core NATS.

Guarantee: what is told was committed before. Each message may be lost, doubled or late, so receivers order by position, and what they miss
comes by the mirror. Format: a JSON array of the documents of cloud_event.py, on `fresh.<shard>`. Only while little is written: beyond
the bounds of the settings nothing is told, and the mirror brings the events in fewer and larger messages.
"""

import asyncio
from collections.abc import Callable

import orjson
import structlog

from infra.adapters.append_plan import Plan
from infra.adapters.cloud_event import NotAnEvent, decoded, encode
from infra.adapters.event_store import Record, records_of
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.wakes import Wakes
from infra.settings import Settings

log = structlog.get_logger()


class FreshEvents:
    """`written` says what this process has appended; `listen` to what others have. Told while NATS is away, it is lost."""

    def __init__(self, stream: NatsEventStream, settings: Settings) -> None:
        self._stream = stream
        self._settings = settings
        self._written: list[tuple[Plan, int]] = []
        self._events = self._bytes = 0
        self._wakes = Wakes(self._send_soon, settings.fresh_gather_s)

    def written(self, plan: Plan, head: int) -> None:
        """A group commit, and the head of the log before it."""
        self._stream.wake()
        self._events += plan.events
        self._bytes += plan.bytes
        self._written.append((plan, head))
        if self._too_many:
            self._written.clear()
        self._wakes.wake()

    @property
    def _too_many(self) -> bool:
        return self._events > self._settings.fresh_events_max or self._bytes > self._settings.fresh_bytes_max

    def _send_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._send)  # those who wait for the commit are answered first

    def _send(self) -> None:
        written, self._written = self._written, []
        self._events = self._bytes = 0
        documents: list[bytes] = []
        for plan, position in written:
            for append in plan.appends:
                for record in records_of(append, position + 1):
                    documents.append(encode(record, self._stream.shard))
                    position = record.position
        if documents:
            self._stream.tell(self._stream.fresh, b"[" + b",".join(documents) + b"]")

    async def listen(self, told: Callable[[list[Record]], None]) -> None:
        """Call `told` with the events of each message; one that has anything else in it is passed over."""

        def take(_subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
            try:
                documents = orjson.loads(data)
                size = len(data) // max(1, len(documents))
                records = [decoded(document, size) for document in documents if type(document["position"]) is int]
            except (ValueError, TypeError, KeyError, NotAnEvent):
                log.warning("not an event", subject=self._stream.fresh)
                return
            told(records)

        await self._stream.hear(self._stream.fresh, take)
