"""What a saga cannot do for one stream holds up no other: the command comes later, and the saga goes on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog

from events.envelope import Envelope
from infra.patterns.saga import Ask, Reaction
from infra.settings import Settings
from tests.infra.box_consumers import EMPTY_BOXES, Contents
from tests.infra.boxes import BoxFilled, FillBox, MakeBox
from tests.infra.consuming import Place, opened
from tests.infra.test_saga_runner import carry_out, folded_anew, runner, state_of, to_rest, types

UNREADABLE = b'{"size":"as large as it was"}'


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


def pass_on(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
    """What is put into box a goes into boxes b and c as well."""
    state.seen.append(envelope.position)
    if isinstance(envelope.event, BoxFilled) and envelope.entity_id == "a":
        return [FillBox(box_id="b"), FillBox(box_id="c")]
    return []


PASS_ON = replace(EMPTY_BOXES, react=pass_on, handles=(BoxFilled,))


class TestACommandForAStreamThatCannotBeRead:
    async def fill(self, place: Place) -> None:
        await place.write("box-b", "box.made", data=UNREADABLE)
        await carry_out(place, MakeBox(box_id="a"), MakeBox(box_id="c"), FillBox(box_id="a"))

    async def test_comes_later_and_holds_up_nothing(self, place: Place) -> None:
        await self.fill(place)
        await to_rest(place, runner(place, PASS_ON))
        assert await types(place) == ["made", "made", "made", "filled", "filled"]
        assert await place.letters() == []
        timers = await place.rows(
            "SELECT command, fields ->> 'box_id', due_at BETWEEN now() + '50 s' AND now() + '60 s' FROM timer"
        )
        assert timers == [("FillBox", "b", True)]

    async def test_is_asked_for_once_however_often_the_saga_begins_again(self, place: Place) -> None:
        await self.fill(place)
        for _ in range(3):
            await to_rest(place, runner(place, PASS_ON))
        assert await place.rows("SELECT count(*) FROM timer") == [(1,)]

    async def test_is_poison_if_its_refusal_has_consequences(self, place: Place) -> None:
        def asking(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
            return [Ask(FillBox(box_id="b"), lambda code, detail: FillBox(box_id="c"))]

        await self.fill(place)
        await to_rest(place, runner(place, replace(PASS_ON, react=asking)))
        assert [position for position, _ in await place.letters()] == [4]
        assert await place.rows("SELECT count(*) FROM timer") == [(0,)]


class TestAStateThatIsTooLargeToBeKept:
    async def test_is_folded_from_the_log_and_the_saga_goes_on(self, place: Place) -> None:
        bounds = {"saga_snapshot_events": 2, "saga_snapshot_bytes_max": 80, "consumer_batch_events_max": 2}
        place.settings = place.settings.model_copy(update=bounds)
        await carry_out(place, *(MakeBox(box_id=f"box-{number}") for number in range(10)))
        handler = runner(place)
        with structlog.testing.capture_logs() as said:
            await to_rest(place, handler)
        assert len(state_of(handler).sizes) == 10
        assert await folded_anew(place) == state_of(handler)
        assert await place.rows("SELECT count(*) FROM saga_state") == [(0,)]
        assert [each for each in said if each["event"] == "the state of a saga is too large to be kept"]
