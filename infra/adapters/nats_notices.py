"""What others are told of runs on JetStream: stream `LIFECYCLE_<shard>`, a CloudEvent in structured JSON mode for each message.

Guarantee: a notice is stored once for its id, however often it is sent within `lifecycle_duplicates_s`; in the order in which one process
sends. Subjects are `lifecycle.<tenant>.<kind>`, for example `lifecycle.acme.task.completed`. Old notices go, by age and by size.
"""

import asyncio
import itertools
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from infra.adapters import nats_frames as frames
from infra.adapters.event_stream import StreamGone, StreamRefused
from infra.adapters.nats_client import raise_for
from infra.adapters.nats_stream import BATCH_EVENTS_MAX, NatsEventStream
from infra.settings import Settings

SINGLE_MAX = 200
"""How many go one by one at once, where some of them are there already."""
_BATCH_HAS_DUPLICATES = 10201


class Notice(NamedTuple):
    """What somebody may want to know: `kind` is dotted and becomes part of the subject, `document` is a CloudEvent."""

    tenant_id: str
    kind: str
    id: str
    document: bytes


class NatsNotices:
    """Uses the connection of the process. Every call may raise StreamUnavailable, StreamGone or StreamRefused."""

    def __init__(self, stream: NatsEventStream, settings: Settings) -> None:
        self.name = f"LIFECYCLE_{settings.shard}"
        self._stream = stream
        self._settings = settings
        self._subjects = frames.Subjects(settings.shard, "lifecycle")
        self._run_id = token_hex(4).encode()
        self._batches = itertools.count(1)

    async def prepare(self) -> None:
        """See to it that the stream is there, with the bounds of the settings."""
        client = await self._stream.client()
        wanted = self._config()
        try:
            config = (await client.api(f"STREAM.INFO.{self.name}"))["config"]
        except StreamGone:
            await client.create_stream(wanted)
            return
        if any(config.get(name) != value for name, value in wanted.items()):
            await client.api(f"STREAM.UPDATE.{self.name}", {**config, **wanted})

    async def publish(self, notices: Sequence[Notice]) -> None:
        """Store notices in their order; those that are there already are left out. If the stream was lost there is a new one."""
        bodies = [((self._subjects.of(each.tenant_id, each.kind), each.document), each.id.encode()) for each in notices]
        while bodies:
            count, size = 0, 0
            for (_, payload), _ in bodies[:BATCH_EVENTS_MAX]:
                size += len(payload)
                if count and size > self._settings.relay_batch_bytes_max:
                    break
                count += 1
            try:
                await self._send(bodies[:count])
            except StreamGone:
                await self.prepare()
                await self._send(bodies[:count])
            del bodies[:count]

    async def _send(self, bodies: Sequence[tuple[frames.Body, bytes]]) -> None:
        if len(bodies) > 1:
            try:
                await self._batch(bodies)
                return
            except StreamRefused as refused:
                if refused.err_code != _BATCH_HAS_DUPLICATES:
                    raise
        for start in range(0, len(bodies), SINGLE_MAX):
            await self._one_by_one(bodies[start : start + SINGLE_MAX])

    async def _batch(self, bodies: Sequence[tuple[frames.Body, bytes]]) -> None:
        client = await self._stream.client()
        reply, answer = client.expect()
        client.send(frames.named_batch(bodies, b"%b-%d" % (self._run_id, next(self._batches)), reply))
        await client.drain()
        raise_for(orjson.loads(await answer).get("error"))

    async def _one_by_one(self, bodies: Sequence[tuple[frames.Body, bytes]]) -> None:
        client = await self._stream.client()
        answers = []
        for body, message_id in bodies:
            reply, answer = client.expect()
            client.send(frames.named(body, message_id, reply))
            answers.append(answer)
        await client.drain()
        for found in await asyncio.gather(*answers):
            raise_for(orjson.loads(found).get("error"))

    def _config(self) -> dict[str, Any]:
        """Format: the StreamConfig of the JetStream API."""
        age_s = self._settings.lifecycle_age_s_max
        config: dict[str, Any] = {
            "name": self.name,
            "subjects": [self._subjects.captured],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": age_s * 1_000_000_000,
            "max_bytes": self._settings.lifecycle_bytes_max,
            "duplicate_window": min(age_s, self._settings.lifecycle_duplicates_s) * 1_000_000_000,
            "allow_atomic": True,
            "allow_direct": True,
        }
        if self._subjects.transform is not None:
            config["subject_transform"] = self._subjects.transform
        return config
