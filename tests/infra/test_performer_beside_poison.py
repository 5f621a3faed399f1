"""What a performer has begun is not forgotten where an event beside it is parked, or it was parked itself."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from events.envelope import Envelope
from infra.adapters.checkpoints import Operations
from infra.settings import Settings
from tests.infra.boxes import FillBox, MakeBox, origin
from tests.infra.consuming import Place, opened, until
from tests.infra.performing import POISON, Performing
from tests.infra.test_performer_after_crashes import kept, taken_over, types, until_kept

CALL = MakeBox(box_id="a", size=5, label="call")
POISONED = FillBox(box_id="b", amount=POISON)


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


def waiting(place: Place) -> Performing:
    """A performer whose activities do not end."""
    one = Performing(place)
    one.outside.gate.clear()
    return one


async def happened(place: Place, *commands: Any) -> int:
    """Commands of another process; the position of the last one's event."""
    bus = Performing(place).bus
    for command in commands:
        answer = await bus.execute(command, origin())
    return answer.position


class TestAnActivity:
    async def test_is_kept_when_an_event_behind_it_is_poisonous(self, place: Place) -> None:
        last = await happened(place, MakeBox(box_id="b", size=9), CALL, POISONED)
        one = waiting(place)
        async with place.running(one.performer) as consumers:
            await place.seen(consumers, last)
            await until(lambda: one.outside.under_way == 1)
            await until_kept(place, "a")
        assert [position for position, _ in await place.letters()] == [last]
        assert await taken_over(place) == ["a"]
        assert (await types(place))[-1] == "filled"

    async def test_is_kept_when_an_event_beside_it_is_behind_a_parked_one(self, place: Place) -> None:
        await happened(place, MakeBox(box_id="b", size=90), POISONED)
        await place.run(Performing(place).performer)
        last = await happened(place, CALL, FillBox(box_id="b"))
        one = waiting(place)
        async with place.running(one.performer) as consumers:
            await place.seen(consumers, last)
            await until_kept(place, "a")
        assert await taken_over(place) == ["a"]

    async def test_of_a_parked_event_is_kept_when_that_is_retried(self, place: Place, database_url: str) -> None:
        await happened(place, CALL)
        await place.run(broken(Performing(place)).performer)
        one = waiting(place)
        async with place.running(one.performer):
            await until(lambda: one.performer._active)
            assert await Operations(database_url).retry_dead_letters(one.performer.name) == 1
            await place.no_letters()
            await until(lambda: one.outside.under_way == 1)
            assert await kept(place) == ["a"]
        assert await taken_over(place) == ["a"]


def broken(one: Performing) -> Performing:
    """It digests nothing."""

    def react(envelope: Envelope[Any]) -> Any:
        raise ValueError("a bug of this release")

    one.performer._performance = replace(one.performer._performance, react=react)
    return one
