"""The live feed: nobody misses an event, and nobody's slowness costs memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from infra.cancellation import end
from infra.errors import StoreUnavailable
from infra.settings import Settings
from read_side import live as feed
from read_side.live import Live, TooManyListeners, Wanted
from read_side.queries import PositionNotReached
from tests.read_side.event_log import Log, first, positions

ALL = Wanted("default")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def live(log: Log, settings: Settings) -> AsyncIterator[Live]:
    bounds = {"live_buffer_events_max": 10, "live_clients_max": 3, "store_retry_s_max": 0.2}
    live = Live(log, log.woken, settings.model_copy(update=bounds))
    task = asyncio.create_task(live.run())
    yield live
    await end(task)


class TestWakes:
    async def test_are_wanted_while_anyone_listens(self, log: Log, settings: Settings) -> None:
        wanted: list[bool] = []

        @asynccontextmanager
        async def waking() -> AsyncGenerator[None, None]:
            wanted.append(True)
            yield
            wanted.append(False)

        live = Live(log, log.woken, settings, waking)
        task = asyncio.create_task(live.run())
        await asyncio.sleep(0)
        assert wanted == []
        for _ in range(2):
            async with aclosing(live.follow(None, ALL)) as batches:
                await anext(batches)
                assert wanted.pop() is True
            async with asyncio.timeout(5):
                while not wanted:
                    await asyncio.sleep(0.001)
            assert wanted.pop() is False
        await end(task)

    async def test_are_wanted_by_whoever_comes_while_the_last_one_is_seen_to_be_gone(
        self, log: Log, settings: Settings
    ) -> None:
        leaving, left = asyncio.Event(), asyncio.Event()

        @asynccontextmanager
        async def waking() -> AsyncGenerator[None, None]:
            yield
            leaving.set()
            await left.wait()

        live = Live(log, log.woken, settings, waking)
        task = asyncio.create_task(live.run())
        async with aclosing(live.follow(None, ALL)) as batches:
            await anext(batches)
        async with asyncio.timeout(5):
            await leaving.wait()
        async with aclosing(live.follow(None, ALL)) as batches, asyncio.timeout(5):
            await anext(batches)
            left.set()
            await asyncio.sleep(0.01)
            await log.write("agent.created")
            assert positions(await first(batches, 1)) == [1]
        await end(task)


class TestAListener:
    async def test_without_a_position_begins_at_the_end_of_the_log(self, live: Live, log: Log) -> None:
        await log.write("agent.created", "agent.started")
        async with aclosing(live.follow(None, ALL)) as batches:
            assert (await anext(batches)).position == 2
            await log.write("agent.stopped")
            assert positions(await first(batches, 1)) == [3]

    async def test_with_a_position_first_gets_the_past(self, live: Live, log: Log) -> None:
        await log.write(*["agent.started"] * 30)
        async with aclosing(live.follow(5, ALL)) as batches:
            assert positions(await first(batches, 25)) == list(range(6, 31))
            await log.write("agent.stopped")
            assert positions(await first(batches, 1)) == [31]

    async def test_with_a_position_that_is_still_to_come_is_refused(self, live: Live, log: Log) -> None:
        await log.write("agent.created")
        for _ in range(2):
            with pytest.raises(PositionNotReached, match="at position 1, not at 2"):
                await anext(live.follow(2, ALL))
            assert live.listeners == 0
        async with aclosing(live.follow(1, ALL)) as batches:
            await anext(batches)

    async def test_gets_only_what_it_wants(self, live: Live, log: Log) -> None:
        wanted = Wanted("default", frozenset({"agent.started"}), "agent-b")
        await log.write("agent.created", "agent.started", stream="agent-b")
        async with aclosing(live.follow(0, wanted)) as batches:
            assert positions(await first(batches, 1)) == [2]
            await log.write("agent.started", stream="agent-b", tenant="other")
            await log.write("agent.started", stream="agent-a")
            await log.write("agent.stopped", "agent.started", stream="agent-b")
            assert positions(await first(batches, 1)) == [6]

    async def test_gets_documents_on_one_line(self, live: Live, log: Log) -> None:
        await log.write("agent.created", data=b'{\n"name":\r\n"Ada"}')
        async with aclosing(live.follow(0, ALL)) as batches:
            document = (await first(batches, 1))[0].document
        assert b"\n" not in document
        assert b"\r" not in document
        assert document.endswith(b'"Ada"}}')

    async def test_hears_how_far_the_log_was_searched_when_nothing_is_wanted(
        self, live: Live, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "KEEP_ALIVE_S", 0.05)
        async with aclosing(live.follow(None, Wanted("nobody"))) as batches:
            await anext(batches)
            await log.write("agent.created")
            async with asyncio.timeout(5):
                while (batch := await anext(batches)).position < 1:
                    pass
            assert batch.events == () or not batch.events

    async def test_that_leaves_frees_its_place(self, live: Live) -> None:
        for _ in range(10):
            async with aclosing(live.follow(None, ALL)) as batches:
                await anext(batches)
        assert live.listeners == 0

    async def test_is_refused_when_there_are_too_many(self, live: Live) -> None:
        many = [live.follow(None, ALL) for _ in range(4)]
        for batches in many[:3]:
            await anext(batches)
        with pytest.raises(TooManyListeners):
            await anext(many[3])
        for batches in many:
            await batches.aclose()

    async def test_is_refused_when_the_log_is_away(self, log: Log, settings: Settings) -> None:
        live = Live(log, log.woken, settings.model_copy(update={"store_retry_s_max": 0.05}))
        with pytest.raises(StoreUnavailable):
            await anext(live.follow(None, ALL))
        assert live.listeners == 0


class TestASlowListener:
    async def test_misses_nothing_though_little_is_kept(self, live: Live, log: Log) -> None:
        async with aclosing(live.follow(None, ALL)) as slow, aclosing(live.follow(None, ALL)) as quick:
            await anext(slow)
            await anext(quick)
            for start in range(0, 60, 6):
                await log.write(*["agent.started"] * 6)
                assert positions(await first(quick, 6)) == list(range(start + 1, start + 7))
            assert positions(await first(slow, 60)) == list(range(1, 61))

    async def test_costs_no_more_memory_than_is_kept_for_all(self, log: Log, settings: Settings) -> None:
        live = Live(log, log.woken, settings.model_copy(update={"live_buffer_bytes_max": 20_000}))
        running = asyncio.create_task(live.run())
        async with aclosing(live.follow(None, ALL)) as slow, aclosing(live.follow(None, ALL)) as quick:
            await anext(slow)
            await anext(quick)
            for _ in range(20):
                await log.write("agent.started", data=b'{"x":"%b"}' % (b"y" * 4_000))
            await first(quick, 20)
            assert len(live._kept) <= 10
            assert live._kept_bytes <= 20_000
            assert positions(await first(slow, 20)) == list(range(1, 21))
        await end(running)


class TestManyListeners:
    async def test_share_one_reader(self, live: Live, log: Log) -> None:
        listeners = [live.follow(None, ALL) for _ in range(3)]
        for batches in listeners:
            await anext(batches)
        await log.write(*["agent.started"] * 5)
        told = [await first(batches, 5) for batches in listeners]
        assert [positions(each) for each in told] == [[1, 2, 3, 4, 5]] * 3
        assert told[0][0].document is told[1][0].document
        for batches in listeners:
            await batches.aclose()

    async def test_each_see_every_event_once_while_writers_go_on(self, live: Live, log: Log) -> None:
        async def write() -> None:
            for number in range(50):
                await log.write("agent.started", stream=f"agent-{number % 3}")
                if number % 7 == 0:
                    await asyncio.sleep(0.001)

        async def listen(after: int | None, count: int) -> list[int]:
            async with aclosing(live.follow(after, ALL)) as batches:
                return positions(await first(batches, count))

        await log.write(*["agent.started"] * 50, stream="agent-3")
        writing = asyncio.create_task(write())
        seen = await asyncio.gather(listen(0, 100), listen(17, 83), listen(50, 50))
        await writing
        assert seen == [list(range(1, 101)), list(range(18, 101)), list(range(51, 101))]


class TestTheReader:
    async def test_reads_nothing_while_nobody_listens(self, live: Live, log: Log) -> None:
        async with aclosing(live.follow(None, ALL)) as batches:
            await anext(batches)
        await asyncio.sleep(0.1)
        before = log.reads
        await log.write("agent.created")
        await asyncio.sleep(0.1)
        assert log.reads == before
        assert live._kept == []

    async def test_goes_on_where_it_was_when_the_log_comes_back(
        self, live: Live, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "TROUBLE_PAUSE_S", 0.01)
        async with aclosing(live.follow(None, ALL)) as batches:
            await anext(batches)
            log.away = True
            await log.write("agent.created")
            await asyncio.sleep(0.05)
            log.away = False
            assert positions(await first(batches, 1)) == [1]

    async def test_finds_new_events_also_when_nobody_wakes_it(self, live: Live, log: Log) -> None:
        async with aclosing(live.follow(None, ALL)) as batches:
            await anext(batches)
            await log.write("agent.created")
            log.woken.clear()
            assert positions(await first(batches, 1)) == [1]
