"""Makes the mirror on JetStream a source of the feed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from infra.adapters.cloud_event import decode
from infra.adapters.event_store import Record
from infra.adapters.event_stream import EventStream, Message
from infra.cancellation import end
from infra.engines.feed import Source

SILENCE_S = 1.0
STARTING_S = 0.1
"""How often what may be new is looked for elsewhere while a delivery begins."""


def mirror_source(stream: EventStream, durable: str) -> Source:
    """Follows the stream with a durable consumer of this process's own; yields nothing once a second when nothing comes.

    While NATS is away it takes seconds to say that a delivery cannot begin: it yields nothing ten times a second then.
    """

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        delivery = stream.pull(durable)
        starting = asyncio.create_task(delivery.start(after))
        try:
            while not (await asyncio.wait((starting,), timeout=STARTING_S))[0]:
                yield []
            starting.result()
            while True:
                messages: list[Message] = []
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SILENCE_S):
                        messages = await delivery.next()
                yield [decode(message.payload, message.seq) for message in messages]
        finally:
            await end(starting)
            await delivery.close()

    return follow
