"""A performer that may not be the only one to have begun an activity does not say that it was not done."""

import asyncio
import time
from collections.abc import AsyncIterator

import orjson
import pytest

from infra.engines.performer import Performer, Send
from infra.engines.standstill import STANDSTILL_S, StoodStill
from infra.patterns.activity import Activity, IfAlone
from infra.settings import Settings
from tests.infra.boxes import EVENTS, FillBox, MakeBox, origin
from tests.infra.consuming import Place, opened, until, until_so
from tests.infra.performing import FILL_BOXES, Performing
from tests.infra.test_performer_after_crashes import call, until_kept

SURE, DOUBTED = 1, 4


class Doubting(Performing):
    """Its activities reach nobody, and end in another command where there is doubt."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.performer = Performer(FILL_BOXES, self._perform, place.store, self.bus, EVENTS, place.settings)

    async def _perform(
        self, tenant_id: str, stream_id: str, activity: Activity, send: Send, stood_still: StoodStill
    ) -> IfAlone | None:
        asked = await self.outside.perform(tenant_id, stream_id, activity, send, stood_still)
        if asked is None:
            return None
        sure, doubted = (FillBox(box_id=activity.key, amount=amount) for amount in (SURE, DOUBTED))
        return IfAlone(sure, doubted)


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


async def filled(place: Place) -> list[int]:
    """By how much the boxes were filled, once one of them was."""

    async def some() -> bool:
        return bool(await place.store.read(0, 10, types=["box.filled"]))

    await until_so(some)
    records = await place.store.read(0, 10, types=["box.filled"])
    return [orjson.loads(record.data if isinstance(record.data, bytes) else b"{}")["amount"] for record in records]


class TestAnActivity:
    async def test_of_the_only_performer_ends_as_it_says(self, place: Place) -> None:
        one = Doubting(place)
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            await call(place)
            assert await filled(place) == [SURE]

    async def test_that_was_written_here_ends_as_it_says(self, place: Place) -> None:
        one = Doubting(place)
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            await one.bus.execute(MakeBox(box_id="a", size=5, label="call"), origin())
            assert await filled(place) == [SURE]

    async def test_that_was_asked_for_before_it_began_is_in_doubt(self, place: Place) -> None:
        await call(place)
        async with place.running(Doubting(place).performer):
            assert await filled(place) == [DOUBTED]

    async def test_that_another_one_has_kept_is_in_doubt(self, place: Place) -> None:
        one = Doubting(place)
        one.outside.gate.clear()
        async with place.running(one.performer) as consumers:
            await call(place)
            await place.seen(consumers, 1)
            await until_kept(place, "a")
        async with place.running(Doubting(place).performer):
            assert await filled(place) == [DOUBTED]

    async def test_during_which_the_process_stood_still_is_in_doubt(self, place: Place) -> None:
        one = Doubting(place)
        one.outside.gate.clear()
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            await one.bus.execute(MakeBox(box_id="a", size=5, label="call"), origin())
            await until(lambda: one.outside.under_way == 1)
            time.sleep(STANDSTILL_S + 0.3)  # noqa: ASYNC251  # as if it was stopped
            one.outside.gate.set()
            assert await filled(place) == [DOUBTED]

    async def test_that_began_after_a_standstill_ends_as_it_says(self, place: Place) -> None:
        one = Doubting(place)
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            time.sleep(STANDSTILL_S + 0.3)  # noqa: ASYNC251  # as if it was stopped
            await asyncio.sleep(0.6)
            await one.bus.execute(MakeBox(box_id="a", size=5, label="call"), origin())
            assert await filled(place) == [SURE]
