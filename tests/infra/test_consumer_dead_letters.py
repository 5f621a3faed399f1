"""What a consumer cannot handle is parked with its stream, until an operator has it retried or discarded; pause and rebuild."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from infra.adapters.checkpoints import BEHIND_PARKED, Operations
from infra.adapters.event_store import Record
from infra.settings import Settings
from tests.infra.consuming import Connection, Notes, Place, noted, opened, until_so

HAPPENED, OTHER = "thing.happened", "thing.other"


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


@pytest.fixture
def operations(database_url: str) -> Operations:
    return Operations(database_url)


class TestAPoisonousEvent:
    async def write(self, place: Place) -> None:
        """Positions 3 and 6 are on thing-2, which has one before and one after; the same id in another tenant; and others."""
        for stream_id, tenant_id in [
            ("thing-1", "acme"),
            ("thing-2", "acme"),
            ("thing-2", "acme"),
            ("thing-2", "other"),
            ("thing-1", "acme"),
            ("thing-2", "acme"),
        ]:
            await place.write(stream_id, HAPPENED, tenant_id=tenant_id)

    async def test_is_parked_with_what_follows_in_its_stream(self, place: Place) -> None:
        await self.write(place)
        handler = Notes()
        handler.poisonous = {3}
        await place.run(handler)
        assert await noted(place) == [1, 2, 4, 5]
        assert await place.letters() == [(3, "ValueError: poison at 3"), (6, BEHIND_PARKED)]

    async def test_keeps_its_stream_parked_after_a_restart(self, place: Place) -> None:
        await self.write(place)
        handler = Notes()
        handler.poisonous = {3}
        await place.run(handler)
        await place.write("thing-2", HAPPENED)
        await place.write("thing-2", HAPPENED, tenant_id="other")
        await place.run(Notes())
        assert await noted(place) == [1, 2, 4, 5, 8]
        assert [position for position, _ in await place.letters()] == [3, 6, 7]

    @pytest.mark.parametrize("statement", ["SELECT 1 / 0", "INSERT INTO note VALUES ('a text', 'x')", "SELECT nothing"])
    async def test_may_be_one_that_the_database_refuses(self, place: Place, statement: str) -> None:
        await self.write(place)
        handler = Notes()

        async def refused(connection: Connection, records: Sequence[Record]) -> None:
            if any(record.position == 3 for record in records):
                await connection.execute(statement.encode())

        handler.trouble = refused
        await place.run(handler)
        assert await noted(place) == [1, 2, 4, 5]
        assert [position for position, _ in await place.letters()] == [3, 6]

    async def test_may_be_one_whose_effect_the_database_refuses(self, place: Place) -> None:
        await self.write(place)
        handler = Notes()
        handler.unfit = {3}
        await place.run(handler)
        assert await noted(place) == [1, 2, 4, 5]
        assert await place.letters() == [(3, "DivisionByZero: division by zero"), (6, BEHIND_PARKED)]

    async def test_may_be_one_that_is_too_much_for_an_index(self, place: Place) -> None:
        await self.write(place)
        handler = Notes()
        await place.rows("CREATE TABLE small (text text PRIMARY KEY)")

        async def refused(connection: Connection, records: Sequence[Record]) -> None:
            if any(record.position == 3 for record in records):
                long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n"
                await connection.execute(f"INSERT INTO small {long}".encode())

        handler.trouble = refused
        await place.run(handler)
        assert await noted(place) == [1, 2, 4, 5]
        assert [position for position, _ in await place.letters()] == [3, 6]


class TestAParkedEvent:
    async def parked(self, place: Place) -> Notes:
        """A handler that has parked 2 and, behind it, 3 and 4 of thing-1."""
        await place.write("thing-1", *[HAPPENED] * 4)
        await place.write("thing-2", HAPPENED)
        handler = Notes()
        handler.poisonous = {2}
        await place.run(handler)
        assert await noted(place) == [1, 5]
        return handler

    async def test_takes_effect_with_what_is_behind_it_when_it_is_retried(
        self, place: Place, operations: Operations
    ) -> None:
        handler = await self.parked(place)
        handler.poisonous.clear()
        async with place.running(handler) as consumers:
            assert await operations.retry_dead_letters("notes", "thing-1") == 3
            await place.no_letters()
            await place.write("thing-1", HAPPENED)
            await place.seen(consumers, 6)
        assert await noted(place) == [1, 5, 2, 3, 4, 6]

    async def test_stays_with_what_is_behind_it_when_the_retry_fails(
        self, place: Place, operations: Operations
    ) -> None:
        handler = await self.parked(place)

        async def tried() -> bool:
            letters = await operations.list_dead_letters()
            return [(letter.attempts, letter.wanted) for letter in letters] == [(2, "park"), (1, "park"), (1, "park")]

        async with place.running(handler):
            await operations.retry_dead_letters("notes")
            await until_so(tried)
            await asyncio.sleep(5 * place.settings.consumer_control_poll_s)
            assert await tried()
        assert await noted(place) == [1, 5]

    async def test_is_passed_over_when_it_is_discarded(self, place: Place, operations: Operations) -> None:
        handler = await self.parked(place)
        async with place.running(handler) as consumers:
            await operations.discard_dead_letters("notes", "thing-1")
            await place.no_letters()
            await place.write("thing-1", HAPPENED)
            await place.seen(consumers, 6)
        assert await noted(place) == [1, 5, 6]

    async def test_is_retried_once_even_if_the_consumer_crashes_in_it(
        self, place: Place, operations: Operations
    ) -> None:
        handler = await self.parked(place)
        handler.poisonous.clear()
        crashes = iter(range(2))

        async def crash(connection: Connection, records: Sequence[Record]) -> None:
            if next(crashes, None) is not None:
                raise psycopg.OperationalError("crash")

        handler.trouble = crash
        await operations.retry_dead_letters("notes")
        async with place.running(handler):
            await place.no_letters()
        assert await noted(place) == [1, 5, 2, 3, 4]


class TestAnOperator:
    async def test_can_pause_and_resume(self, place: Place, operations: Operations) -> None:
        await place.write("thing-1", HAPPENED)
        async with place.running(Notes()) as consumers:
            await place.seen(consumers, 1)
            await operations.set_paused("notes", True)
            await asyncio.sleep(0.2)
            await place.write("thing-1", HAPPENED)
            await asyncio.sleep(0.1)
            assert (consumers[0].position, await noted(place)) == (1, [1])
            await operations.set_paused("notes", False)
            await place.seen(consumers, 2)
        assert await noted(place) == [1, 2]

    async def test_can_have_a_projection_rebuilt(self, place: Place, operations: Operations) -> None:
        await place.write("thing-1", HAPPENED)
        handler = Notes()
        handler.poisonous = {1}
        async with place.running(handler) as consumers:
            await place.seen(consumers, 1)
            await operations.request_rebuild("notes")
            await place.no_letters()
            await place.write("thing-1", HAPPENED)
            await place.seen(consumers, 2)
        assert await noted(place) == [0, 2]
        assert not any(consumer.rebuild for consumer in await operations.list_consumers())

    async def test_gets_a_rebuild_with_a_new_version(self, place: Place, operations: Operations) -> None:
        await place.write("thing-1", HAPPENED)
        await place.run(Notes(version=1))
        async with place.running(Notes(version=2)):
            await until_so(lambda: self.stands_at_version(place, 2))
        assert await noted(place) == [0]
        await place.run(Notes(version=2))
        assert await noted(place) == [0]

    async def stands_at_version(self, place: Place, version: int) -> bool:
        return await place.rows("SELECT position, version FROM checkpoint") == [(1, version)]
