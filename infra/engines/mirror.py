"""Makes the mirror on JetStream a source of the feed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from infra.adapters.cloud_event import decode
from infra.adapters.event_store import Record
from infra.adapters.event_stream import EventStream, Message
from infra.engines.feed import Source

SILENCE_S = 1.0


def mirror_source(stream: EventStream, durable: str) -> Source:
    """Follows the stream with a durable consumer of this process's own; yields nothing once a second when nothing comes."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        delivery = stream.pull(durable)
        try:
            await delivery.start(after)
            while True:
                messages: list[Message] = []
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SILENCE_S):
                        messages = await delivery.next()
                yield [decode(message.payload, message.seq) for message in messages]
        finally:
            await delivery.close()

    return follow
