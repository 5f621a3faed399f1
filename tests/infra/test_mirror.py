"""The mirror as a source of the feed: while NATS cannot be reached, new events come from the log without delay."""

import asyncio

import pytest

from infra.adapters.nats_stream import NatsEventStream
from infra.cancellation import end
from infra.embedded.ports import free_port
from infra.engines.feed import Feed
from infra.engines.mirror import mirror_source
from infra.settings import Settings
from tests.infra.test_feed import Log

pytestmark = pytest.mark.outside


class TestAMirrorThatCannotBeReached:
    async def test_holds_nobody_up(self, settings: Settings) -> None:
        log, clock = Log(), asyncio.get_running_loop().time
        stream = await NatsEventStream.connect(f"nats://127.0.0.1:{free_port()}", settings)
        feed = Feed(log, mirror_source(stream, "reader"), settings)
        running = asyncio.create_task(feed.run(0))
        waits = []
        for position in range(3):
            await asyncio.sleep(0.3)
            await log.grow(1)
            begun = clock()
            assert len(await feed.after(position, 10, 10)) == 1
            waits.append(clock() - begun)
        await end(running)
        await stream.close()
        assert max(waits) < 1
