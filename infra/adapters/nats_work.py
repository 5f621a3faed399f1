"""The queue of work on JetStream: stream `WORK_<shard>`, a message for each piece of work until a worker acknowledges it.

Guarantee: what was offered is delivered until it is acknowledged, withdrawn, or older or more than the bounds. Subjects are
`work.<tenant>.<worker>.<id>`: unlike the mirror, the queue holds only what is open, so there are few of them. One process offers at a
time: a batch names the sequence that it must follow.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from infra.adapters import nats_frames as frames
from infra.adapters.event_stream import StreamGone
from infra.adapters.nats_stream import BATCH_EVENTS_MAX, NatsEventStream
from infra.settings import Settings

WITHDRAWALS_AT_ONCE_MAX = 100
_FILLED = "foldwork.filled"


class Item(NamedTuple):
    """A piece of work that a worker is to do."""

    tenant_id: str
    worker: str
    id: str
    content: Any


class NatsWorkQueue:
    """Uses the connection of the process. Every call may raise StreamUnavailable, and StreamGone if the queue is not there."""

    def __init__(self, stream: NatsEventStream, settings: Settings) -> None:
        self.name = f"WORK_{settings.shard}"
        self._stream = stream
        self._settings = settings
        self._subjects = frames.Subjects(settings.shard, "work")
        self.sequence = 0
        """That of the newest message that the queue has ever had."""

    async def prepare(self, sequence: int) -> bool:
        """See to it that the queue is there.

        True if all that is open must be offered again: it is new, was never filled, or was at this sequence once and is not any more.
        """
        client = await self._stream.client()
        wanted = self._config()
        try:
            found = await client.api(f"STREAM.INFO.{self.name}")
            config = found["config"]
            if any(config.get(name) != value for name, value in wanted.items()):
                await client.api(f"STREAM.UPDATE.{self.name}", {**config, **wanted})
        except StreamGone:
            found = await client.create_stream(wanted)
        self.sequence = found["state"]["last_seq"]
        filled = _FILLED in found["config"].get("metadata", {})
        if filled and self.sequence < sequence:
            # Where this ends before it is filled, the next one has to see that, whatever the sequence is by then.
            await self._note({})
            await client.api(f"STREAM.PURGE.{self.name}")  # what has ended since is among it
            filled = False
        return not filled

    async def filled(self) -> None:
        """Note that everything open has been offered."""
        await self._note({_FILLED: "yes"})

    async def _note(self, ours: dict[str, str]) -> None:
        client = await self._stream.client()
        config = (await client.api(f"STREAM.INFO.{self.name}"))["config"]
        others = {name: value for name, value in config.get("metadata", {}).items() if name != _FILLED}
        await client.api(f"STREAM.UPDATE.{self.name}", {**config, "metadata": {**others, **ours}})

    async def offer(self, items: Sequence[Item]) -> None:
        """Store offers; one of the same piece of work takes the place of an older one. Raises FencedOff if another process offers."""
        bodies = [(self._subject(item), orjson.dumps(item.content)) for item in items]
        while bodies:
            count, size = 0, 0
            for _, payload in bodies[:BATCH_EVENTS_MAX]:
                size += len(payload)
                if count and size > self._settings.relay_batch_bytes_max:
                    break
                count += 1
            flight = await self._stream.send_bodies(bodies[:count], self.sequence)
            await flight.landed
            self.sequence = flight.last
            del bodies[:count]

    async def withdraw(self, works: Sequence[tuple[str, str]]) -> None:
        """Take back what was offered, by tenant and id; nothing happens where it is gone already."""
        client = await self._stream.client()
        for start in range(0, len(works), WITHDRAWALS_AT_ONCE_MAX):
            part = works[start : start + WITHDRAWALS_AT_ONCE_MAX]
            filters = [f"work.{frames.token(tenant_id)}.*.{frames.token(id)}" for tenant_id, id in part]
            await asyncio.gather(*(client.api(f"STREAM.PURGE.{self.name}", {"filter": each}) for each in filters))

    def _subject(self, item: Item) -> bytes:
        return self._subjects.of(item.tenant_id, f"{frames.token(item.worker)}.{frames.token(item.id)}")

    def _config(self) -> dict[str, Any]:
        """Format: the StreamConfig of the JetStream API."""
        config: dict[str, Any] = {
            "name": self.name,
            "subjects": [self._subjects.captured],
            "retention": "workqueue",
            "storage": "file",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "max_age": self._settings.work_age_s_max * 1_000_000_000,
            "max_bytes": self._settings.work_bytes_max,
            "allow_atomic": True,
        }
        if self._subjects.transform is not None:
            config["subject_transform"] = self._subjects.transform
        return config
