"""The feed gives every event once and in order, whatever its source does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from infra.adapters.cloud_event import decode, encode
from infra.adapters.event_store import Append, NewEvent, Record, Records, Write
from infra.adapters.memory_store import MemoryEventStore
from infra.engines.feed import Feed, Source, read_ahead
from infra.errors import StoreUnavailable
from infra.ids import new_uuid7
from infra.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Log(MemoryEventStore):
    """A log that may be away, and notes after which positions it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.reads: list[int] = []

    async def grow(self, count: int, data: bytes = b"{}") -> list[Record]:
        """So many more events, every third of type thing.third."""
        before = await self.head()
        new = [NewEvent(f"thing.{'third' if at % 3 == 0 else 'other'}", 1, data, new_uuid7()) for at in range(count)]
        await self.append(Append("acme", (Write("thing-1", before, new),), NOW))
        return self._log[before:]

    async def read(self, after: int, limit: int, **filters: Any) -> Records:
        self.reads.append(after)
        if self.away:
            raise StoreUnavailable
        return await super().read(after, limit, **filters)


Script = Sequence[Sequence[int] | Exception]


def played(log: Log, script: Script) -> Source:
    """A source that gives the records at these positions, breaks down where the script says so, and then is silent."""
    parts = iter(script)

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield [log._log[position - 1] for position in part]
        while True:
            await asyncio.sleep(0.01)
            yield []

    return follow


def as_mirrored(source: Source) -> Source:
    """The same records as they come from the mirror."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        async for records in source(after):
            yield [decode(encode(record, 0)) for record in records]

    return follow


@asynccontextmanager
async def running(log: Log, source: Source, settings: Settings, start: int | None = 0) -> AsyncIterator[Feed]:
    feed = Feed(log, source, settings)
    task = asyncio.create_task(feed.run(start))
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not what():
            await asyncio.sleep(0.001)


async def positions(feed: Feed, after: int, count: int) -> list[int]:
    """What one consumer is given, in small pieces."""
    found: list[int] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.extend(record.position for record in await feed.after(after + len(found), 7, 0.1))
    return found


@pytest.fixture
def log() -> Log:
    return Log()


SCRIPTS: dict[str, Script] = {
    "in order": [range(1, 11), range(11, 31)],
    "nothing, so that silence is all there is": [],
    "the same again": [range(1, 21), range(1, 21), range(11, 31)],
    "a hole between two deliveries": [range(1, 6), range(9, 31)],
    "a hole within a delivery": [[1, 2, 3, 6, 7], range(8, 31)],
    "out of order": [[3, 1, 2], [6, 5, 4], range(30, 6, -1)],
    "each event twice in a row": [[position // 2 for position in range(2, 62)]],
    "a breakdown": [range(1, 6), StoreUnavailable("away"), range(6, 31)],
    "only the last": [[30]],
}


class TestAFeed:
    @pytest.mark.parametrize("script", SCRIPTS)
    async def test_gives_each_event_once_and_in_order(self, log: Log, settings: Settings, script: str) -> None:
        await log.grow(30)
        async with running(log, played(log, SCRIPTS[script]), settings) as feed:
            assert await positions(feed, 0, 30) == list(range(1, 31))
            assert feed.position == 30

    async def test_does_so_for_any_disorder(self, log: Log, settings: Settings) -> None:
        random = Random(11)
        await log.grow(300)
        mixed = [random.randint(1, 300) for _ in range(900)]
        script = [mixed[at : at + random.randint(1, 40)] for at in range(0, 900, 20)]
        async with running(log, played(log, script), settings) as feed:
            assert await positions(feed, 0, 300) == list(range(1, 301))

    async def test_begins_at_the_end_of_the_log(self, log: Log, settings: Settings) -> None:
        await log.grow(10)
        async with running(log, played(log, []), settings, start=None) as feed:
            await until(lambda: feed.running)
            assert feed.position == 10
            await log.grow(5)
            assert await positions(feed, 10, 5) == [11, 12, 13, 14, 15]

    async def test_reads_what_it_does_not_hold_from_the_log(self, log: Log, settings: Settings) -> None:
        await log.grow(100)
        few = settings.model_copy(update={"live_buffer_events_max": 10})
        script = [[position] for position in range(1, 101)]
        async with running(log, played(log, script), few) as feed:
            await until(lambda: feed.position == 100)
            assert feed.source_lag()["held"] <= 13
            assert await positions(feed, 0, 100) == list(range(1, 101))

    async def test_holds_no_more_bytes_than_it_may(self, log: Log, settings: Settings) -> None:
        await log.grow(100, b'"' + b"x" * 998 + b'"')
        few = settings.model_copy(update={"live_buffer_bytes_max": 10_000})
        script = [[position] for position in range(1, 101)]
        for source in (played(log, script), as_mirrored(played(log, script))):
            async with running(log, source, few) as feed:
                await until(lambda feed=feed: feed.position == 100)  # type: ignore[misc]  # mypy cannot tell a default's type
                assert 5 <= feed.source_lag()["held"] <= 13
                assert await positions(feed, 0, 100) == list(range(1, 101))

    async def test_holds_nothing_that_is_larger_than_all_it_may_hold(self, log: Log, settings: Settings) -> None:
        await log.grow(10, b'"' + b"x" * 998 + b'"')
        none = settings.model_copy(update={"live_buffer_bytes_max": 100})
        async with running(log, played(log, [range(1, 6), range(6, 11)]), none) as feed:
            await until(lambda: feed.position == 10)
            assert feed.source_lag() == {"position": 10, "held": 0, "held_bytes": 0}
            assert await positions(feed, 0, 10) == list(range(1, 11))

    async def test_gives_from_memory_what_it_holds(self, log: Log, settings: Settings) -> None:
        await log.grow(100)
        async with running(log, played(log, [range(1, 101)]), settings) as feed:
            await until(lambda: feed.position == 100)
            log.reads.clear()
            assert await positions(feed, 0, 100) == list(range(1, 101))
            assert set(log.reads) <= {100}

    async def test_gives_nothing_when_nothing_comes(self, log: Log, settings: Settings) -> None:
        async with running(log, played(log, []), settings) as feed:
            assert await feed.after(0, 10, 0.02) == []

    async def test_gives_what_comes_to_all_who_wait(self, log: Log, settings: Settings) -> None:
        async with running(log, played(log, []), settings) as feed:
            waiting = [asyncio.ensure_future(feed.after(0, 10, 5)) for _ in range(3)]
            await asyncio.sleep(0.01)
            await log.grow(2)
            for found in await asyncio.gather(*waiting):
                assert [record.position for record in found] == [1, 2]

    async def test_wakes_nobody_for_events_of_other_types(self, log: Log, settings: Settings) -> None:
        async with running(log, played(log, []), settings) as feed:
            clock = asyncio.get_running_loop().time
            begun = clock()
            interested = asyncio.ensure_future(feed.after(0, 10, 30, ["thing.third"]))
            others = asyncio.ensure_future(feed.after(0, 10, 0.3, ["thing.other"]))
            await asyncio.sleep(0.01)
            assert [record.type for record in await log.grow(1)] == ["thing.third"]
            assert [record.position for record in await asyncio.wait_for(interested, 10)] == [1]
            assert [record.position for record in await others] == [1]
            assert clock() - begun >= 0.3

    async def test_wakes_whoever_could_have_a_whole_batch(self, log: Log, settings: Settings) -> None:
        async with running(log, played(log, []), settings) as feed:
            waiting = asyncio.ensure_future(feed.after(0, 4, 30, ["thing.never"]))
            await asyncio.sleep(0.01)
            await log.grow(4)
            assert [record.position for record in await asyncio.wait_for(waiting, 10)] == [1, 2, 3, 4]

    async def test_tells_of_what_goes_by_and_gives_what_comes_from_there(self, log: Log, settings: Settings) -> None:
        async with running(log, played(log, []), settings) as feed:
            passed: list[int] = []
            waiting = asyncio.ensure_future(feed.after(0, 2, 30, ["thing.other"], passed.append))
            await asyncio.sleep(0.01)
            for position in (1, 2, 3):
                await log.grow(1)
                await until(lambda position=position: passed[-1:] == [position])
            await log.grow(2)
            assert [record.position for record in await asyncio.wait_for(waiting, 10)] == [4, 5]
            assert passed == [1, 2, 3]

    async def test_goes_on_after_both_were_away(self, log: Log, settings: Settings) -> None:
        await log.grow(10)
        log.away = True
        script: Script = [StoreUnavailable("away"), StoreUnavailable("away"), [7, 9], range(8, 11)]
        async with running(log, played(log, script), settings) as feed:
            await asyncio.sleep(0.1)
            assert feed.position == 0
            log.away = False
            assert await positions(feed, 0, 10) == list(range(1, 11))


class TestReadingAhead:
    async def test_gives_the_events_of_some_types_and_how_far_it_has_come(self, log: Log) -> None:
        await log.grow(10)
        parts = [part async for part in read_ahead(log, 2, 9, ["thing.third"], 3)]
        assert [([record.position for record in records], reached) for records, reached in parts] == [
            ([4], 5),
            ([7], 8),
            ([], 9),
        ]

    async def test_gives_nothing_where_there_is_nothing(self, log: Log) -> None:
        assert [part async for part in read_ahead(log, 5, 5, ["thing.third"], 3)] == []

    async def test_raises_what_the_log_raises(self, log: Log) -> None:
        await log.grow(10)
        log.away = True
        with pytest.raises(StoreUnavailable):
            async for _ in read_ahead(log, 0, 10, ["thing.third"], 3):
                pass
