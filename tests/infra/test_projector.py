"""The projector: rows are what the events make of them, live, after a restart, in a rebuild, and around what is parked."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from infra.adapters.checkpoints import BEHIND_PARKED, Operations
from infra.adapters.read_table import ReadTable
from infra.engines.command_bus import CommandBus
from infra.engines.projector import Projector
from infra.patterns.decider import Command
from infra.patterns.projection import Projection
from infra.settings import Settings
from tests.infra.box_consumers import BOX_BOARD, BoxRow, Cause
from tests.infra.boxes import DECIDERS, EVENTS, EmptyBox, FillBox, MakeBox, PourBox, origin
from tests.infra.consuming import Place, opened, until_so


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


async def carry_out(place: Place, *commands: Command, tenant_id: str = "acme") -> None:
    bus = CommandBus(place.store, DECIDERS, EVENTS, place.settings)
    for answer in await bus.execute_many([(command, origin(tenant_id=tenant_id), False) for command in commands]):
        assert not isinstance(answer, Exception)


def projector(place: Place, projection: Projection[Any] = BOX_BOARD) -> Projector:
    return Projector(projection, place.store, EVENTS, place.settings)


async def rows(place: Place, name: str = "box_board") -> list[BoxRow]:
    table = ReadTable.of(BOX_BOARD, name)
    order = " ORDER BY t.tenant_id, t.box_id"
    return [table.row(values) for values in await place.rows(f'SELECT {table.select_list} FROM "{name}" t{order}')]


STORY: list[Command] = [
    MakeBox(box_id="a"),
    MakeBox(box_id="b", size=50),
    FillBox(box_id="a", amount=3),
    FillBox(box_id="b", amount=7),
    FillBox(box_id="a", amount=2),
    PourBox(box_id="a", into_id="b"),
    MakeBox(box_id="c", label="secret"),
    FillBox(box_id="c", amount=1),
    FillBox(box_id="b", amount=4),
]
ROWS = [
    BoxRow(tenant_id="acme", box_id="a", size=10, content=0, fills=(3, 2), version=4, position=6),
    BoxRow(tenant_id="acme", box_id="b", size=50, content=16, fills=(7, 5, 4), version=4, position=10),
    BoxRow(tenant_id="acme", box_id="c", size=10, label="secret", content=1, fills=(1,), version=2, position=9),
]


class TestAReadModel:
    async def test_is_what_the_events_make_of_it(self, place: Place) -> None:
        await carry_out(place, *STORY)
        await place.run(projector(place))
        assert await rows(place) == ROWS

    @pytest.mark.parametrize("bounds", [{"consumer_batch_events_max": 1}, {"projector_rows_max": 1}])
    async def test_is_the_same_in_small_steps(self, place: Place, bounds: dict[str, int]) -> None:
        place.settings = place.settings.model_copy(update=bounds)
        await carry_out(place, *STORY)
        await place.run(projector(place))
        assert await rows(place) == ROWS

    async def test_is_the_same_when_it_is_restarted_at_every_event(self, place: Place) -> None:
        for command in STORY:
            await carry_out(place, command)
            await place.run(projector(place))
        assert await rows(place) == ROWS

    async def test_costs_no_memory_for_rows_that_are_large(self, place: Place) -> None:
        few = place.settings.model_copy(update={"projector_row_bytes_max": 1_000})
        handler = Projector(BOX_BOARD, place.store, EVENTS, few)
        await carry_out(place, *(MakeBox(box_id=f"{number}", label="x" * 3_000) for number in range(20)))
        await place.run(handler)
        assert not handler._rows
        await carry_out(place, *(FillBox(box_id=f"{number}") for number in range(20)), MakeBox(box_id="small"))
        await place.run(handler)
        await carry_out(place, FillBox(box_id="small"))
        await place.run(handler)
        assert [key for _, key in handler._rows] == ["small"]
        assert {row.content for row in await rows(place)} == {1}

    async def test_keeps_tenants_apart(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a", size=1))
        await carry_out(place, MakeBox(box_id="a", size=2), FillBox(box_id="a"), tenant_id="other")
        await place.run(projector(place))
        assert [(row.tenant_id, row.size, row.content) for row in await rows(place)] == [
            ("acme", 1, 0),
            ("other", 2, 1),
        ]

    async def test_loses_a_row_that_is_deleted_and_may_have_it_again(self, place: Place) -> None:
        await carry_out(place, *STORY, EmptyBox(box_id="c"))
        await place.run(projector(place))
        assert await rows(place) == ROWS[:2]
        await place.run(projector(place))
        assert await rows(place) == ROWS[:2]

    async def test_is_right_after_a_crash_before_its_rows_and_its_checkpoint_are_written(self, place: Place) -> None:
        crashes = iter(range(2))

        class Crashing(Projector):
            async def effects(self, connection: Any, records: Any, position: int) -> Any:
                effects = await super().effects(connection, records, position)
                if next(crashes, None) is not None:
                    raise psycopg.OperationalError("crash")
                return effects

        await carry_out(place, *STORY)
        await place.run(Crashing(BOX_BOARD, place.store, EVENTS, place.settings))
        assert await rows(place) == ROWS


class TestARebuild:
    async def rebuilt(self, place: Place) -> None:
        async def done() -> bool:
            return await place.rows("SELECT 1 FROM checkpoint WHERE rebuild") == []

        await Operations(place.url).request_rebuild("box_board")
        await until_so(done)

    async def test_gives_what_came_event_by_event(self, place: Place) -> None:
        await carry_out(place, *STORY)
        async with place.running(projector(place)) as consumers:
            await place.seen(consumers, 10)
            await place.rows("UPDATE box_board SET content = 99")
            await place.rows("DELETE FROM box_board WHERE box_id = 'a'")
            for _ in range(2):
                await self.rebuilt(place)
                assert await rows(place) == ROWS
            await carry_out(place, FillBox(box_id="a"))
            await place.seen(consumers, 11)
        assert (await rows(place))[0].content == 1

    async def test_comes_with_a_new_version_and_its_new_columns(self, place: Place) -> None:
        await carry_out(place, *STORY)
        await place.run(projector(place))

        class LargerRow(BoxRow):
            largest: int = 0

        def with_largest(envelope: Any, row: BoxRow | None) -> BoxRow | None:
            made = BOX_BOARD.project(envelope, row)
            return None if made is None else LargerRow(**{**dict(made), "largest": max(made.fills, default=0)})

        larger = replace(BOX_BOARD, version=2, row=LargerRow, project=with_largest)
        async with place.running(projector(place, larger)):

            async def there() -> bool:
                return await place.rows("SELECT 1 FROM checkpoint WHERE version = 2") == [(1,)]

            await until_so(there)
        assert await place.rows("SELECT box_id, largest FROM box_board ORDER BY box_id") == [
            ("a", 3),
            ("b", 7),
            ("c", 1),
        ]

    async def test_comes_where_the_table_is_gone(self, place: Place) -> None:
        await carry_out(place, *STORY)
        await place.run(projector(place))
        await place.rows('DROP TABLE "box_board"')
        async with place.running(projector(place)):

            async def all_are_there() -> bool:
                return (
                    await place.rows("SELECT to_regclass('box_board') IS NULL") == [(False,)]
                    and await rows(place) == ROWS
                )

            await until_so(all_are_there)

    async def test_parks_what_it_cannot_handle(self, place: Place) -> None:
        cause = Cause(4)
        await carry_out(place, *STORY)
        async with place.running(projector(place, cause.in_projection())) as consumers:
            await place.seen(consumers, 10)
            before, letters = await rows(place), await place.letters()
            assert letters == [(4, "ValueError: poison at 4"), (7, BEHIND_PARKED), (10, BEHIND_PARKED)]
            await self.rebuilt(place)
            assert (await rows(place), await place.letters()) == (before, letters)
            cause.positions.clear()
            await self.rebuilt(place)
            assert (await rows(place), await place.letters()) == (ROWS, [])


class TestARowThatCannotBeRead:
    async def test_parks_what_happens_to_it_and_nothing_else(self, place: Place) -> None:
        await carry_out(place, *STORY)
        await place.run(projector(place))
        await place.rows("UPDATE box_board SET fills = '[\"many\"]' WHERE box_id = 'a'")
        await carry_out(place, FillBox(box_id="a", amount=1), FillBox(box_id="b", amount=1))
        await place.run(projector(place))
        assert [position for position, _ in await place.letters()] == [11]
        assert await place.rows("SELECT content FROM box_board WHERE box_id = 'b'") == [(17,)]


class TestAPoisonousEvent:
    async def test_takes_effect_when_its_cause_is_gone_and_it_is_retried(self, place: Place) -> None:
        cause = Cause(4)
        await carry_out(place, *STORY)
        async with place.running(projector(place, cause.in_projection())) as consumers:
            await place.seen(consumers, 10)
            assert [row.fills for row in await rows(place)] == [(3, 2), (), (1,)]
            cause.positions.clear()
            await Operations(place.url).retry_dead_letters("box_board")
            await place.no_letters()
        assert await rows(place) == ROWS

    async def test_may_be_one_whose_data_nobody_can_read(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        place.versions["acme", "box-a"] = 1
        await place.write("box-a", "box.filled", data=b'{"amount":"much"}')
        await place.write("box-a", "box.emptied")
        await carry_out(place, MakeBox(box_id="b"))
        await place.run(projector(place))
        assert [row.box_id for row in await rows(place)] == ["a", "b"]
        assert [position for position, _ in await place.letters()] == [2, 3]

    async def test_is_parked_without_what_was_sent(self, place: Place) -> None:
        await place.write("box-a", "box.made", data=b'{"size": "Rosa lives at number nine"}')
        await place.run(projector(place))
        ((_, cause),) = await place.letters()
        assert cause.startswith("ValidationError: 1 validation error for BoxMade\nsize")
        assert "Rosa" not in cause

    async def test_may_be_one_whose_row_no_table_can_hold(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        place.versions["acme", "box-a"] = 1
        await place.write("box-b", "box.made", data=b'{"size":99999999999999999999}')
        await place.write("box-c", "box.made", data=b'{"size":1,"label":"nul: \\u0000"}')
        await carry_out(place, FillBox(box_id="a"))
        await place.run(projector(place))
        assert [(row.box_id, row.content) for row in await rows(place)] == [("a", 1)]
        assert [position for position, _ in await place.letters()] == [2, 3]
