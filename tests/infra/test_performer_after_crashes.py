"""A performer that dies at any moment: another one goes on with what is kept, and each command is in effect once."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import Record
from infra.engines.command_bus import CommandBus
from infra.engines.feed import Feed
from infra.engines.performer import Performer
from infra.settings import Settings
from tests.infra.boxes import DECIDERS, EVENTS, EmptyBox, FillBox, MakeBox, origin
from tests.infra.consuming import Connection, Place, opened, until, until_so
from tests.infra.performing import Performing, Troubles, only_until


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


async def call(place: Place, box_id: str = "a") -> None:
    """Ask for an activity, as another process does."""
    bus = CommandBus(place.store, DECIDERS, EVENTS, place.settings)
    await bus.execute(MakeBox(box_id=box_id, size=5, label="call"), origin())


async def types(place: Place) -> list[str]:
    return [record.type.removeprefix("box.") for record in await place.store.read(0, 1_000)]


async def kept(place: Place) -> list[str]:
    return [key for (key,) in await place.rows("SELECT key FROM activity ORDER BY key")]


async def until_kept(place: Place, *expected: str) -> None:
    async def there() -> bool:
        return await kept(place) == list(expected)

    await until_so(there)


async def taken_over(place: Place) -> list[str]:
    """Have another performer go on to its rest; gives what it carried out."""
    other = Performing(place)
    async with place.running(other.performer) as consumers:

        async def at_rest() -> bool:
            head = await place.store.head()
            there = await place.rows("SELECT 1 FROM checkpoint WHERE position = %s", head) and not await kept(place)
            return bool(there) and consumers[0].position == head and not other.performer._under_way

        await until_so(at_rest)
    return other.outside.begun


class TestAnActivityWhosePerformerDies:
    async def test_while_it_is_carried_out_is_carried_out_by_another(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        async with place.running(one.performer) as consumers:
            await call(place)
            await place.seen(consumers, 1)
            await until_kept(place, "a")
        assert await taken_over(place) == ["a"]
        assert await types(place) == ["made", "filled"]

    async def test_before_the_log_has_brought_it_is_carried_out_by_another(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        feed = Feed(place.store, only_until(place.store, 0), place.settings)
        async with place.running(one.performer, feed=feed):
            await until(lambda: one.performer._active)
            await one.bus.execute(MakeBox(box_id="a", size=5, label="call"), origin())
            await until(lambda: one.outside.under_way == 1)
        assert await kept(place) == []
        assert await taken_over(place) == ["a"]
        assert await types(place) == ["made", "filled"]

    async def test_before_its_command_is_carried_out_again(self, place: Place) -> None:
        one = Performing(place)
        troubles = Troubles(one.bus)
        troubles.gate.clear()
        async with place.running(one.performer) as consumers:
            await call(place)
            await place.seen(consumers, 1)
            await until(lambda: troubles.asked == [FillBox(box_id="a")])
            await until_kept(place, "a")
        assert await types(place) == ["made"]
        assert await taken_over(place) == ["a"]
        assert await types(place) == ["made", "filled"]

    async def test_is_seen_as_it_is_by_one_that_knew_it_before(self, place: Place) -> None:
        """A standby that was at work once still has streams in memory as they were then."""
        one, other = Performing(place), Performing(place)
        await call(place)
        await other.bus.state("acme", "box-a")
        await one.bus.execute(FillBox(box_id="a", amount=2), origin())
        feed = Feed(place.store, only_until(place.store, 1), place.settings)
        async with place.running(other.performer, feed=feed):
            await until(lambda: bool(other.performer._answered))
        assert (other.outside.begun, await types(place)) == (["a"], ["made", "filled"])

    async def test_after_its_command_takes_effect_once(self, place: Place) -> None:
        one = Performing(place)
        one.outside.gate.clear()
        feed = Feed(place.store, only_until(place.store, 1), place.settings)
        async with place.running(one.performer, feed=feed) as consumers:
            await call(place)
            await place.seen(consumers, 1)
            await until_kept(place, "a")
            one.outside.gate.set()
            await until(lambda: bool(one.performer._answered))
        assert (await types(place), await kept(place)) == (["made", "filled"], ["a"])
        # Whether it is carried out again depends on which comes first: what is kept, or that it is over.
        assert await taken_over(place) in ([], ["a"])
        assert await types(place) == ["made", "filled"]

    async def test_leaves_nothing_kept_that_is_over_though_nothing_says_so(self, place: Place) -> None:
        """As it is where the event that says so was parked and then discarded."""
        await call(place)
        await taken_over(place)
        values = "('fill_boxes_that_call', 0, 'acme', 'a', 'box-a', 'x', 'x')"
        await place.rows(
            f"INSERT INTO activity (performer, shard, tenant_id, key, stream_id, causation_id, correlation_id) VALUES {values}"
        )
        one = Performing(place)
        async with place.running(one.performer):
            await until(lambda: bool(one.performer._answered))
            await call(place, "b")
            await until_kept(place)
        assert one.outside.begun == ["a", "b"]
        assert await types(place) == ["made", "filled"] * 2

    async def test_whose_activities_are_many_has_each_in_effect_once(self, place: Place) -> None:
        """Three performers, each of which dies in the midst of its work."""
        names = [f"{number}" for number in range(30)]
        for _ in range(3):
            one = Performing(place)
            async with place.running(one.performer):
                for name in names[:10]:
                    await call(place, name)
                await until(lambda one=one: len(one.outside.begun) >= 5)  # type: ignore[misc]  # bound at once
            del names[:10]
        await taken_over(place)
        assert ((await types(place)).count("made"), (await types(place)).count("filled")) == (30, 30)


class Crashing(Performer):
    """Is cut off after its commands were sent and before its checkpoint, as often as it is told."""

    crashes = 2

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        effects = await super().effects(connection, records, position)
        if self.crashes and any(record.type == "box.filled" for record in records):
            self.crashes -= 1
            raise psycopg.OperationalError("crash")
        return effects


class TestACommandWhosePerformerDies:
    async def test_is_sent_again_and_takes_effect_once(self, place: Place) -> None:
        one = Performing(place, kind=Crashing)
        troubles = Troubles(one.bus)
        bus = CommandBus(place.store, DECIDERS, EVENTS, place.settings)
        async with place.running(one.performer) as consumers:
            await bus.execute(MakeBox(box_id="a"), origin())
            await bus.execute(FillBox(box_id="a", amount=2), origin())
            await place.seen(consumers, 3)
        assert troubles.asked == [EmptyBox(box_id="a")] * 3
        assert await types(place) == ["made", "filled", "emptied"]

    async def test_is_sent_by_another_if_the_checkpoint_had_not_moved(self, place: Place) -> None:
        one = Performing(place)
        troubles = Troubles(one.bus)
        troubles.gate.clear()
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            bus = CommandBus(place.store, DECIDERS, EVENTS, place.settings)
            await bus.execute(MakeBox(box_id="a"), origin())
            await bus.execute(FillBox(box_id="a", amount=2), origin())
            await until(lambda: bool(troubles.asked))
            await asyncio.sleep(0.05)
        assert await types(place) == ["made", "filled"]
        assert await taken_over(place) == []
        assert await types(place) == ["made", "filled", "emptied"]


class TestTwoPerformers:
    async def test_have_each_activity_in_effect_once(self, place: Place) -> None:
        one, two = Performing(place), Performing(place)
        async with place.running(one.performer, two.performer):
            for number in range(20):
                await call(place, f"{number}")

            async def all_filled() -> bool:
                return (await types(place)).count("filled") == 20 and not await kept(place)

            await until_so(all_filled)
        assert sorted(map(len, (one.outside.begun, two.outside.begun))) == [0, 20]
