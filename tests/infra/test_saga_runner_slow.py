"""The saga runner when reacting may take long: a thread reacts, and what follows is the same."""

import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from events.envelope import Envelope
from infra.patterns.saga import Reaction
from infra.settings import Settings
from tests.infra.box_consumers import EMPTY_BOXES, Contents, react
from tests.infra.boxes import BoxFilled, FillBox, MakeBox
from tests.infra.consuming import Place, opened
from tests.infra.test_saga_runner import carry_out, runner, to_rest, types


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


class TestASlowReaction:
    async def test_is_a_threads_work_and_takes_effect_like_any_other(self, place: Place) -> None:
        loop, by_the_loop = threading.get_ident(), dict[str, bool]()

        def watched(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
            by_the_loop[envelope.event.type] = threading.get_ident() == loop
            return react(envelope, state)

        await carry_out(place, MakeBox(box_id="a", size=1), FillBox(box_id="a"))
        await to_rest(place, runner(place, replace(EMPTY_BOXES, react=watched, slow=(BoxFilled,))))
        assert by_the_loop == {"box.made": True, "box.filled": False, "box.emptied": True}
        assert await types(place) == ["made", "filled", "emptied"]
