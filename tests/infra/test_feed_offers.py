"""What a feed is offered past its source comes once, in order and without a gap too, however it arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from infra.adapters.event_store import Record
from infra.engines.feed import Feed
from infra.settings import Settings
from tests.infra.test_feed import Log, played, positions, running, until


@pytest.fixture
def log() -> Log:
    return Log()


async def never(after: int) -> AsyncIterator[list[Record]]:
    """A source that brings nothing, and is not even silent."""
    await asyncio.get_running_loop().create_future()
    yield []


@asynccontextmanager
async def offered_to(log: Log, settings: Settings) -> AsyncIterator[Feed]:
    async with running(log, never, settings) as feed:
        await until(lambda: feed.running)
        yield feed


class TestAnOffer:
    async def test_comes_without_the_source_and_the_log(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            feed.offer(await log.grow(3))
            feed.offer(await log.grow(2))
            assert await positions(feed, 0, 5) == [1, 2, 3, 4, 5]
            assert log.reads == []

    async def test_wakes_those_who_wait(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            waiting = asyncio.ensure_future(feed.after(0, 10, 30))
            await asyncio.sleep(0.01)
            feed.offer(await log.grow(1))
            assert [record.position for record in await asyncio.wait_for(waiting, 5)] == [1]

    async def test_before_another_waits_for_it(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            first, second, third = await log.grow(3)
            feed.offer([third])
            feed.offer([second])
            assert feed.position == 0
            feed.offer([first])
            assert feed.position == 3
            await asyncio.sleep(3 * settings.fresh_gather_s)
            assert log.reads == []

    async def test_behind_a_gap_has_the_rest_read_from_the_log(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            events = await log.grow(9)
            feed.offer(events[:2])
            feed.offer(events[5:7])
            await until(lambda: feed.position == 9)
            assert await positions(feed, 0, 9) == list(range(1, 10))
            assert log.reads[0] == 2

    async def test_follows_what_the_source_brings(self, log: Log, settings: Settings) -> None:
        slow = settings.model_copy(update={"fresh_gather_s": 30})
        events = await log.grow(4)
        offered = asyncio.Event()

        async def follow(after: int) -> AsyncIterator[list[Record]]:
            await offered.wait()
            yield events[:1]
            yield events[1:3]
            await asyncio.get_running_loop().create_future()

        async with running(log, follow, slow) as feed:
            await until(lambda: feed.running)
            feed.offer([events[1], events[3]])
            offered.set()
            assert await positions(feed, 0, 4) == [1, 2, 3, 4]
            assert (feed._early, log.reads) == ({}, [])

    async def test_of_what_has_come_is_nothing(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            events = await log.grow(3)
            feed.offer(events)
            feed.offer(events[:2])
            await asyncio.sleep(3 * settings.fresh_gather_s)
            assert (feed.position, feed._early, log.reads) == (3, {}, [])

    async def test_that_the_log_has_not_is_forgotten(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            [event] = await log.grow(1)
            feed.offer([replace(event, position=5, id="from elsewhere")])
            await until(lambda: log.reads == [0, 1])
            feed.offer(await log.grow(3))
            assert feed.position == 4
            feed.offer(await log.grow(1))
            assert [record.id for record in await feed.after(4, 1, 1)] == [log._log[4].id]

    async def test_is_forgotten_with_a_gap_that_cannot_be_read(self, log: Log, settings: Settings) -> None:
        async with offered_to(log, settings) as feed:
            events = await log.grow(4)
            log.away = True
            feed.offer(events[2:])
            await until(lambda: len(log.reads) == 1)
            log.away = False
            feed.offer(events[:2])
            assert feed.position == 2
            feed.offer(events[3:])
            await until(lambda: feed.position == 4)

    async def test_behind_a_gap_that_breaks_the_feed_down_ends_it(
        self, log: Log, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken")

        feed = Feed(log, never, settings)
        running = asyncio.create_task(feed.run(0))
        await until(lambda: feed.running)
        monkeypatch.setattr(log, "read", broken)
        feed.offer((await log.grow(2))[1:])
        with pytest.raises(RuntimeError, match="broken"):
            await asyncio.wait_for(running, 5)

    async def test_is_not_kept_among_too_many(self, log: Log, settings: Settings) -> None:
        few = settings.model_copy(update={"live_buffer_events_max": 10, "fresh_gather_s": 0.2})
        async with offered_to(log, few) as feed:
            events = await log.grow(30)
            for event in events[1:]:
                feed.offer([event])
                assert len(feed._early) <= 10
            await until(lambda: feed.position == 30)
            assert await positions(feed, 0, 30) == list(range(1, 31))

    async def test_to_a_feed_that_has_not_begun_is_nothing(self, log: Log, settings: Settings) -> None:
        feed = Feed(log, never, settings)
        feed.offer(await log.grow(1))
        assert (feed.position, feed.source_lag()["held"]) == (0, 0)

    @pytest.mark.parametrize("seed", range(5))
    async def test_comes_once_and_in_order_beside_any_source(self, log: Log, settings: Settings, seed: int) -> None:
        random = Random(seed)
        events = await log.grow(300)
        mixed = [min(300, max(1, at // 3 + random.randint(-9, 9))) for at in range(900)]
        script = [mixed[at : at + random.randint(1, 40)] for at in range(0, 900, 20)]
        async with running(log, played(log, script), settings) as feed:
            found = asyncio.create_task(positions(feed, 0, 300))
            while not found.done():
                # Somewhere about where the feed is: early, late, again, or just what is next.
                start = max(0, feed.position + random.randint(-5, 5))
                feed.offer(random.sample(events[start : start + 8], len(events[start : start + 8])))
                await asyncio.sleep(random.choice([0, 0, 0.001]))
            assert await found == list(range(1, 301))
            assert [record.id for record in await feed.after(0, 300, 1)] == [event.id for event in events]
