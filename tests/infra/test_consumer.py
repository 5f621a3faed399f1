"""A consumer: each event takes effect once and in order, whatever is repeated, missing or cut off."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import psycopg
import pytest

from infra.adapters.checkpoints import Operations
from infra.adapters.event_store import Record
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed
from infra.settings import Settings
from tests.infra.consuming import Connection, Notes, Place, noted, opened, polling, until, until_so

HAPPENED, OTHER = "thing.happened", "thing.other"


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


@pytest.fixture
def operations(database_url: str) -> Operations:
    return Operations(database_url)


class UnrulyFeed(Feed):
    """Gives what was given before, leaves holes, and mixes everything up."""

    random = Random(3)

    async def after(self, position: int, limit: int, timeout_s: float, *waiting: Any) -> list[Record]:
        records = await super().after(max(0, position - self.random.randint(0, 5)), limit, 0.01, *waiting)
        await asyncio.sleep(0)
        match self.random.randint(0, 3):
            case 0:
                return self.random.sample(records, len(records))
            case 1:
                return [record for record in records if self.random.random() < 0.7]
            case 2:
                return [record for record in records for _ in range(2)]
            case _:
                return records


class TestADelivery:
    async def test_takes_effect_once_and_in_order(self, place: Place) -> None:
        for _ in range(20):
            await place.write("thing-1", HAPPENED, OTHER, HAPPENED)
        await place.run(Notes())
        assert await noted(place) == [position for position in range(1, 61) if position % 3 != 2]

    async def test_that_repeats_leaves_out_and_mixes_up_changes_nothing(self, place: Place) -> None:
        for _ in range(100):
            await place.write("thing-1", HAPPENED, HAPPENED)
        small = place.settings.model_copy(update={"consumer_batch_events_max": 9, "catch_up_lag_events": 1_000_000})
        place.settings = small
        async with place.running(Notes(), feed=UnrulyFeed(place.store, polling(place.store), small)) as consumers:
            await place.seen(consumers, 200)
        assert await noted(place) == list(range(1, 201))

    async def test_from_far_behind_takes_only_what_is_of_interest(self, place: Place) -> None:
        for _ in range(50):
            await place.write("thing-1", *[OTHER] * 9, HAPPENED)
        place.settings = place.settings.model_copy(
            update={
                "catch_up_lag_events": 20,
                "catch_up_batch_events_max": 60,
                "catch_up_stretch_events_max": 130,
                "consumer_batch_events_max": 7,
            }
        )
        handler = Notes()
        await place.run(handler)
        assert await noted(place) == list(range(10, 501, 10))
        assert max(map(len, handler.batches)) == 6

    async def test_of_nothing_of_interest_moves_the_checkpoint_soon(self, place: Place) -> None:
        await place.write("thing-1", HAPPENED, *[OTHER] * 30)

        async def moved() -> bool:
            return await place.rows("SELECT position FROM checkpoint") == [(31,)]

        async with place.running(Notes()):
            await until_so(moved)

    async def test_of_nothing_of_interest_is_announced_at_once(self, place: Place) -> None:
        """A projection of other events has seen them as soon as they are here, although nothing is done for it."""
        told: list[int] = []
        place.settings = place.settings.model_copy(update={"consumer_control_poll_s": 30.0})
        feed = Feed(place.store, polling(place.store), place.settings)
        handler = Notes()
        consumer = Consumer(
            handler, place.store, feed, place.url, place.settings, lambda name, position: told.append(position)
        )
        tasks = [asyncio.create_task(feed.run(0)), asyncio.create_task(consumer.run())]
        await until(lambda: bool(feed._waiting))
        for end in (2, 5, 6):
            await place.write("thing-1", *[OTHER] * (end - feed.position))
            await until(lambda end=end: told[-1:] == [end])
        await place.write("thing-1", OTHER, HAPPENED)
        await until(lambda: told[-1:] == [8])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await noted(place) == [8]
        assert handler.batches == [[8]]

    async def test_is_announced_when_it_has_taken_effect(self, place: Place) -> None:
        told: list[tuple[str, int]] = []
        await place.write("thing-1", HAPPENED, OTHER)
        feed = Feed(place.store, polling(place.store), place.settings)
        consumer = Consumer(
            Notes(), place.store, feed, place.url, place.settings, lambda name, position: told.append((name, position))
        )
        tasks = [asyncio.create_task(feed.run(0)), asyncio.create_task(consumer.run())]
        await until(lambda: ("notes", 2) in told)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await noted(place) == [1]


class TestACrash:
    async def test_between_effect_and_commit_leaves_neither(self, place: Place) -> None:
        await place.write("thing-1", *[HAPPENED] * 10)
        handler = Notes()
        crashes = iter(range(3))

        async def crash(connection: Connection, records: Sequence[Record]) -> None:
            if next(crashes, None) is not None:
                raise psycopg.OperationalError("crash")

        handler.trouble = crash
        await place.run(handler)
        assert await noted(place) == list(range(1, 11))
        assert handler.begun == [0, 0, 0, 0]

    async def test_of_the_session_in_the_midst_of_it_leaves_neither(self, place: Place) -> None:
        await place.write("thing-1", *[HAPPENED] * 10)
        handler = Notes()
        crashes = iter(range(2))

        async def crash(connection: Connection, records: Sequence[Record]) -> None:
            if next(crashes, None) is not None:
                await place.rows("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)

        handler.trouble = crash
        await place.run(handler)
        assert await noted(place) == list(range(1, 11))

    async def test_after_the_commit_repeats_nothing(self, place: Place) -> None:
        for _ in range(3):
            await place.write("thing-1", HAPPENED)
        for _ in range(3):
            await place.run(Notes())
            await place.write("thing-1", HAPPENED)
        await place.run(Notes())
        assert await noted(place) == [1, 2, 3, 4, 5, 6]


class TestASecondRunner:
    async def test_waits_and_takes_over(self, place: Place) -> None:
        await place.write("thing-1", *[HAPPENED] * 5)
        first, second = Notes(), Notes()
        async with place.running(second):
            await until(lambda: bool(second.begun))
            async with place.running(first):
                await asyncio.sleep(0.2)
                assert first.begun == []
            await place.write("thing-1", HAPPENED)
        async with place.running(first) as consumers:
            await place.seen(consumers, 6)
        assert await noted(place) == [1, 2, 3, 4, 5, 6]

    async def test_that_has_moved_the_checkpoint_makes_the_first_begin_again(self, place: Place) -> None:
        await place.write("thing-1", *[HAPPENED] * 3)
        handler = Notes()
        async with place.running(handler) as consumers:
            await place.seen(consumers, 3)
            await place.rows("UPDATE checkpoint SET position = 5")
            await until(lambda: handler.begun[-1] == 5)
            await place.write("thing-1", *[HAPPENED] * 4)
            await place.seen(consumers, 7)
        assert await noted(place) == [1, 2, 3, 6, 7]

    async def test_that_moved_it_in_the_midst_of_a_batch_leaves_one_effect(self, place: Place) -> None:
        await place.write("thing-1", *[HAPPENED] * 3)
        handler = Notes()
        crashes = iter(range(1))

        async def overtaken(connection: Connection, records: Sequence[Record]) -> None:
            if next(crashes, None) is not None:
                await connection.execute("UPDATE checkpoint SET position = 0 WHERE consumer = 'notes'")
                raise psycopg.OperationalError("as if it had waited for the other's lock")

        handler.trouble = overtaken
        await place.run(handler)
        assert await noted(place) == [1, 2, 3]


class TestARebuildThatPostgresRefuses:
    async def test_is_tried_again_and_holds_up_no_other(self, place: Place, operations: Operations) -> None:
        refused, other = Notes("refused"), Notes("other")
        await place.write("thing-8", "thing.happened")
        await place.run(refused, other)
        await place.rows("CREATE TABLE kept (id int PRIMARY KEY)")
        await place.rows("CREATE VIEW on_it AS SELECT * FROM kept")

        async def rebuild(connection: Connection, position: int) -> int:
            await connection.execute("DROP TABLE kept")
            return position

        refused.rebuild = rebuild  # type: ignore[method-assign]  # as a projector that replaces its table does
        async with place.running(refused, other) as consumers:
            await operations.request_rebuild("refused")
            await asyncio.sleep(0.3)
            position = await place.write("thing-9", "thing.happened")
            await place.seen(consumers[1:], position)
            await place.rows("DROP VIEW on_it")
            await place.seen(consumers, position)
