"""The performer: activities are carried out and followed by their commands, at once and as often as they have to be."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from events.envelope import Origin
from infra.adapters.checkpoints import BEHIND_PARKED, Operations
from infra.adapters.event_store import Appended
from infra.engines.command_bus import CommandBus
from infra.engines.command_request import Request
from infra.engines.feed import Feed
from infra.errors import StoreUnavailable, VersionConflict
from infra.patterns.decider import Command, Decider, DeciderCatalog
from infra.settings import Settings
from tests.infra.boxes import BOX, DECIDERS, EVENTS, EmptyBox, FillBox, MakeBox, origin
from tests.infra.consuming import Place, opened, until, until_so
from tests.infra.performing import FILL_BOXES, POISON, Performing, Troubles, only_until


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


async def carry_out(place: Place, *commands: Command, bus: CommandBus | None = None) -> None:
    """As another process does, if no bus is given."""
    bus = bus or CommandBus(place.store, DECIDERS, EVENTS, place.settings)
    for command in commands:
        await bus.execute(command, origin())


async def types(place: Place) -> list[str]:
    return [record.type.removeprefix("box.") for record in await place.store.read(0, 1_000)]


async def kept(place: Place) -> list[str]:
    return [key for (key,) in await place.rows("SELECT key FROM activity ORDER BY key")]


async def until_types(place: Place, *expected: str) -> None:
    async def there() -> bool:
        return await types(place) == list(expected)

    await until_so(there)


async def until_kept(place: Place, *expected: str) -> None:
    async def there() -> bool:
        return await kept(place) == list(expected)

    await until_so(there)


class TestAnActivity:
    async def test_is_carried_out_and_its_command_sent(self, place: Place) -> None:
        one = Performing(place)
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="a", size=5, label="call"))
            await until_types(place, "made", "filled")
            await place.seen(consumers, 2)
            await until_kept(place)
        made, filled = await place.store.read(0, 10)
        cause, sent = (Origin.from_json("acme", record.metadata) for record in (made, filled))
        assert one.outside.begun == ["a"]
        assert (sent.actor, sent.causation_id) == (f"saga:{FILL_BOXES.name}", made.id)
        assert sent.correlation_id == cause.correlation_id

    async def test_is_not_begun_again_when_the_log_brings_what_was_acted_on(self, place: Place) -> None:
        one = Performing(place)
        feed = Feed(place.store, only_until(place.store, 0), place.settings)
        async with place.running(one.performer, feed=feed):
            await until(lambda: one.performer._active)
            await carry_out(place, MakeBox(box_id="a", size=5, label="call"), bus=one.bus)
            await until_types(place, "made", "filled")
        assert one.outside.begun == ["a"], "before the log has brought anything"

        one.outside.begun.clear()
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="b", size=5, label="call"), bus=one.bus)
            await until(lambda: "b" in one.outside.begun)
            await until_types(place, "made", "filled", "made", "filled")
            await place.seen(consumers, 4)
            assert one.outside.begun.count("b") == 1
            assert (one.performer._seen, one.performer._under_way, one.performer._answered) == ({}, {}, set())

    async def test_is_kept_with_the_checkpoint_until_it_is_over(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="a", size=5, label="call"))
            await place.seen(consumers, 1)
            await until_kept(place, "a")
            assert await place.rows("SELECT position FROM checkpoint") == [(1,)]
            one.outside.gate.set()
            await until_kept(place)
            assert await place.rows("SELECT position FROM checkpoint") == [(2,)]

    async def test_that_is_over_is_cancelled(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="a", size=5, label="call"))
            await until(lambda: one.outside.under_way == 1)
            await carry_out(place, FillBox(box_id="a"))
            await place.seen(consumers, 2)
            await until(lambda: one.outside.cancelled == ["a"])
            await until_kept(place)
        assert await types(place) == ["made", "filled"]

    async def test_whose_command_is_refused_ends_in_what_it_says_for_that(self, place: Place) -> None:
        one = Performing(place)
        one.outside.amount = 99
        async with place.running(one.performer):
            await carry_out(place, MakeBox(box_id="a", size=5, label="call"))
            await until_types(place, "made", "filled")
        assert one.outside.begun == ["a"]

    async def test_is_one_of_so_many_at_most(self, place: Place) -> None:
        place.settings = place.settings.model_copy(update={"activities_in_flight_max": 3})
        one = Performing(place)
        one.outside.gate.clear()
        async with place.running(one.performer) as consumers:
            await carry_out(place, *(MakeBox(box_id=f"{n}", label="call") for n in range(10)))
            await place.seen(consumers, 10)
            await until(lambda: one.outside.under_way >= 3)
            await asyncio.sleep(0.05)  # so that any more would have begun
            assert len(one.outside.begun) == one.outside.under_way == 3
            one.outside.gate.set()
            await until(lambda: len(one.outside.begun) == 10 and one.outside.under_way == 0)
            await place.seen(consumers, 20)
        assert (one.outside.under_way_most, (await types(place)).count("filled")) == (3, 10)

    async def test_is_tried_again_while_what_it_needs_is_away(self, place: Place) -> None:
        one = Performing(place)
        one.outside.faults = [StoreUnavailable("away"), psycopg.OperationalError("away"), OSError("away")]
        async with place.running(one.performer):
            await carry_out(place, MakeBox(box_id="a", label="call"))
            await until_types(place, "made", "filled")
        assert one.outside.begun == ["a"] * 4

    async def test_that_breaks_down_stays_kept_for_whoever_begins_next(self, place: Place) -> None:
        one, next_one = Performing(place), Performing(place)
        one.outside.faults = [KeyError("a mistake")]
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="a", label="call"), MakeBox(box_id="b", label="call"))
            await place.seen(consumers, 2)
            await until_kept(place, "a")
        async with place.running(next_one.performer):
            await until_kept(place)
        assert (next_one.outside.begun, (await types(place)).count("filled")) == (["a"], 2)


class TestACommandThatFollows:
    async def test_is_sent_before_the_checkpoint_moves(self, place: Place) -> None:
        one = Performing(place)
        troubles = Troubles(one.bus)
        troubles.gate.clear()
        async with place.running(one.performer) as consumers:
            await carry_out(place, MakeBox(box_id="a"), FillBox(box_id="a", amount=2))
            await until(lambda: troubles.asked == [EmptyBox(box_id="a")])
            await asyncio.sleep(0.1)
            assert consumers[0].position < 2
            troubles.gate.set()
            await until_types(place, "made", "filled", "emptied")
            await place.seen(consumers, 3)

    async def test_is_sent_once_for_what_this_process_has_written(self, place: Place) -> None:
        one = Performing(place)
        troubles = Troubles(one.bus)
        async with place.running(one.performer) as consumers:
            await until(lambda: one.performer._active)
            await carry_out(place, MakeBox(box_id="a"), FillBox(box_id="a", amount=2), bus=one.bus)
            await until_types(place, "made", "filled", "emptied")
            await place.seen(consumers, 3)
        assert troubles.asked.count(EmptyBox(box_id="a")) == 1

    async def test_is_sent_again_while_the_store_is_away_or_too_many_write(self, place: Place) -> None:
        one = Performing(place)
        troubles = Troubles(
            one.bus, StoreUnavailable("a"), VersionConflict("b"), psycopg.OperationalError("c"), OSError()
        )
        async with place.running(one.performer):
            await carry_out(place, MakeBox(box_id="a"), FillBox(box_id="a", amount=2))
            await until_types(place, "made", "filled", "emptied")
        assert troubles.asked == [EmptyBox(box_id="a")] * 5

    async def test_that_is_refused_is_dropped(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"), FillBox(box_id="a", amount=3), FillBox(box_id="a", amount=2))
        await place.run(Performing(place).performer)
        assert (await types(place), await place.letters()) == (["made", "filled", "filled", "emptied"], [])

    async def test_that_breaks_down_parks_its_event(self, place: Place) -> None:
        def decide(command: Command, state: object, others: object) -> object:
            if isinstance(command, EmptyBox) and command.box_id == "a":
                raise KeyError("a mistake in a decider")
            return BOX.decide(command, state, others)

        broken = Decider("box", BOX.commands, BOX.initial, decide, BOX.evolve, BOX.companions, BOX.consults)
        one = Performing(place, deciders=DeciderCatalog(broken))
        for box_id in "ab":
            await carry_out(place, MakeBox(box_id=box_id), FillBox(box_id=box_id, amount=2))
        await place.run(one.performer)
        assert await types(place) == ["made", "filled", "made", "filled", "emptied"]
        assert await place.letters() == [(2, "KeyError: 'a mistake in a decider'")]


class TestAPoisonousEvent:
    @pytest.mark.parametrize("own", [True, False])
    async def test_is_parked_and_its_writer_hears_nothing_of_it(self, place: Place, own: bool) -> None:
        one = Performing(place)
        async with place.running(one.performer) as consumers:
            await until(lambda: one.performer._active)
            bus = one.bus if own else None
            await carry_out(place, MakeBox(box_id="a", size=99), FillBox(box_id="a", amount=POISON), bus=bus)
            await carry_out(place, FillBox(box_id="a", amount=2), MakeBox(box_id="b", label="call"))
            await place.seen(consumers, 4)
            await until_types(place, "made", "filled", "filled", "made", "filled")
            assert await place.letters() == [(2, "ValueError: poison"), (3, BEHIND_PARKED)]
            await Operations(place.url).discard_dead_letters(FILL_BOXES.name, "box-a")
            await place.no_letters()


class TestAPerformer:
    async def test_without_the_lease_acts_on_nothing(self, place: Place) -> None:
        one = Performing(place)
        await carry_out(place, MakeBox(box_id="a", label="call"), bus=one.bus)
        await asyncio.sleep(0.05)
        assert (one.outside.begun, one.performer._seen) == ([], {})

    async def test_remembers_nothing_that_the_log_brought_before_its_bus_told_it(self, place: Place) -> None:
        one = Performing(place)
        told: list[tuple[Request, Appended]] = []
        one.bus.on_written = lambda request, appended: told.append((request, appended))
        async with place.running(one.performer) as consumers:
            await until(lambda: one.performer._active)
            await carry_out(place, MakeBox(box_id="a", label="call"), bus=one.bus)
            await until_types(place, "made", "filled")
            await place.seen(consumers, 2)
            for request, appended in told:
                one.performer.written(request, appended)
            assert (one.performer._seen, one.outside.begun) == ({}, ["a"])

    async def test_that_has_ended_acts_on_nothing_more(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        async with place.running(one.performer):
            await carry_out(place, MakeBox(box_id="a", label="call"))
            await until_kept(place, "a")
        await carry_out(place, MakeBox(box_id="b", label="call"), bus=one.bus)
        await asyncio.sleep(0.05)
        assert (one.outside.begun, one.outside.cancelled) == (["a"], ["a"])

    async def test_moves_its_checkpoint_a_moment_later_if_there_is_nothing_to_keep(self, place: Place) -> None:
        place.settings = place.settings.model_copy(update={"consumer_control_poll_s": 0.5})
        one = Performing(place)
        async with place.running(one.performer) as consumers:
            await until(lambda: one.performer._active)
            await carry_out(place, MakeBox(box_id="a"), FillBox(box_id="a"))
            await place.seen(consumers, 2)
            assert await place.rows("SELECT position FROM checkpoint") == [(0,)]

            async def moved() -> bool:
                return await place.rows("SELECT position FROM checkpoint") == [(2,)]

            await until_so(moved)
