"""Read models are answered from while they are made, made anew in another shape, or behind what is asked for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.adapters.read_store import NotYetRebuilt, NotYetVisible, ReadStore
from infra.adapters.read_table import ReadTable
from infra.settings import Settings
from tests.infra.box_consumers import BOX_BOARD
from tests.infra.consuming import Place, opened


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


@pytest.fixture
async def models(database_url: str, settings: Settings) -> AsyncIterator[ReadStore]:
    store = await ReadStore.open(database_url, settings.model_copy(update={"query_connections_max": 1}))
    yield store
    await store.close()


async def make(place: Place, *changes: str) -> None:
    """The table of the box board anew, with a box in it, and then changed."""
    await place.rows('DROP TABLE IF EXISTS "box_board"')
    for statement in ReadTable.of(BOX_BOARD).create().split(";")[:-1]:
        await place.rows(statement)
    columns = ", ".join(f'"{column}"' for column in ReadTable.of(BOX_BOARD).columns)
    await place.rows(f"INSERT INTO \"box_board\" ({columns}) VALUES ('acme', 'a', 10, '', 3, '[]', 1, 1)")
    for change in changes:
        await place.rows(f'ALTER TABLE "box_board" {change}')


class TestAModelOfAnotherShape:
    async def test_is_asked_for_again_until_it_is_made_anew(self, place: Place, models: ReadStore) -> None:
        await make(place, 'DROP COLUMN "content"')
        with pytest.raises(NotYetRebuilt):
            await models.get(BOX_BOARD, ("acme", "a"))
        with pytest.raises(NotYetRebuilt):
            await models.page(BOX_BOARD, "acme", {}, ("box_id",), None, 10)
        await make(place)
        row = await models.get(BOX_BOARD, ("acme", "a"))
        assert row is not None
        assert row.content == 3

    async def test_that_was_read_before_is_read_in_its_new_one(self, place: Place, models: ReadStore) -> None:
        await make(place, 'ALTER COLUMN "content" TYPE text')
        for _ in range(3):
            await models.get(BOX_BOARD, ("acme", "a"))
        await make(place)
        row = await models.get(BOX_BOARD, ("acme", "a"))
        assert row is not None
        assert row.content == 3


class TestWaitingForAPosition:
    async def test_leaves_nothing_behind_where_it_does_not_come(self, place: Place, models: ReadStore) -> None:
        for _ in range(20):
            with pytest.raises(NotYetVisible):
                await models.wait_for("box_board", 7, 0.001)
        given_up = asyncio.ensure_future(models.wait_for("box_board", 7, 60))
        await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert not any(models._waiters.values())

    async def test_begins_anew_after_a_crash_that_may_have_lost_it(self, place: Place, models: ReadStore) -> None:
        await make(place)
        models.seen("box_board", 7)
        await models.get(BOX_BOARD, ("acme", "a"))
        await models.wait_for("box_board", 7, 0.001)
        await place.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await models.get(BOX_BOARD, ("acme", "a"))
        with pytest.raises(NotYetVisible):
            await models.wait_for("box_board", 7, 0.05)

    async def test_ends_for_those_who_waited_for_what_came(self, place: Place, models: ReadStore) -> None:
        first = asyncio.ensure_future(models.wait_for("box_board", 7, 60))
        second = asyncio.ensure_future(models.wait_for("box_board", 8, 60))
        await asyncio.sleep(0.01)
        models.seen("box_board", 7)
        await asyncio.wait_for(first, 5)
        assert not second.done()
        models.seen("box_board", 8)
        await asyncio.wait_for(second, 5)
