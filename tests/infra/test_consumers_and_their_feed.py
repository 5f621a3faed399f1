"""Consumers that are further than their feed, or than the log is now."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.adapters.event_store import Record
from infra.cancellation import end
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed, LogWentBack
from infra.settings import Settings
from tests.infra.consuming import Notes, noted, opened, polling, until


class TestAConsumerThatIsAheadOfItsFeed:
    async def test_is_not_sent_back_by_what_passes_by(self, database_url: str, settings: Settings) -> None:
        async with opened(database_url, settings) as place:
            for number in range(5):
                await place.write(f"t-{number}", "thing.happened")
            mirrored: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

            async def follow(after: int) -> AsyncIterator[list[Record]]:
                while True:
                    first, last = await mirrored.get()
                    yield await place.store.read(first - 1, last - first + 1)

            feed, notes = Feed(place.store, follow, settings), Notes()
            consumer = Consumer(notes, place.store, feed, place.url, settings, lambda *_: None)
            following = asyncio.create_task(feed.run())
            await until(lambda: feed.running)
            for number in range(5):
                await place.write(f"o-{number}", "other.happened")
            for number in range(5):
                await place.write(f"u-{number}", "thing.happened")
            consuming = asyncio.create_task(consumer.run())
            await until(lambda: consumer.position == 15)
            await mirrored.put((6, 10))
            await until(lambda: feed.position == 10)
            await mirrored.put((11, 15))
            await until(lambda: feed.position == 15)
            last = await place.write("v-0", "thing.happened")
            await mirrored.put((last, last))
            await until(lambda: consumer.position == last)
            await end(consuming, following)
            assert await noted(place) == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16]


class TestALogThatHasLostItsEnd:
    @pytest.mark.parametrize("written_since", [0, 4])
    async def test_ends_the_process_which_remembers_what_is_gone(
        self, database_url: str, settings: Settings, written_since: int
    ) -> None:
        async with opened(database_url, settings) as place:
            for number in range(5):
                await place.write(f"t-{number}", "thing.happened")
            feed, notes = Feed(place.store, polling(place.store), settings), Notes()
            consumer = Consumer(notes, place.store, feed, place.url, settings, lambda *_: None)
            following, consuming = asyncio.create_task(feed.run(0)), asyncio.create_task(consumer.run())
            await until(lambda: consumer.position == 5)
            await place.rows("DELETE FROM event WHERE position > 3")
            await place.rows("DELETE FROM stream WHERE stream_id IN ('t-3', 't-4')")
            await place.rows("UPDATE log_head SET position = 3")
            await place.rows("UPDATE checkpoint SET position = 3")
            for number in range(written_since):
                await place.write(f"n-{number}", "thing.happened")
            await place.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with pytest.raises(LogWentBack):
                await asyncio.wait_for(consuming, 10)
            await end(following)
