"""A command that was decided on events which are still under way goes with them, whoever else has written as many."""

import asyncio

from infra.adapters.event_store import Appended
from infra.engines.command_bus import CommandBus
from tests.infra.boxes import BoxFull, FillBox, MakeBox, origin


class TestACommandThatRestsOnAnother:
    async def test_is_decided_again_though_another_process_has_written_as_many_events(
        self, bus: CommandBus, elsewhere: CommandBus
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=3), origin())
        await elsewhere.execute(FillBox(box_id="1", amount=3), origin())
        filling = [bus.execute(FillBox(box_id="1"), origin()) for _ in range(2)]
        assert [type(full) for full in await asyncio.gather(*filling, return_exceptions=True)] == [BoxFull, BoxFull]

    async def test_is_decided_again_though_its_sender_named_the_version(
        self, bus: CommandBus, elsewhere: CommandBus
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=3), origin())
        await elsewhere.execute(FillBox(box_id="1"), origin())
        first = bus.execute(FillBox(box_id="1"), origin())
        second = bus.execute(FillBox(box_id="1"), origin(), expected_version=2)
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert sorted(answer.version for answer in answers if isinstance(answer, Appended)) in ([3], [3, 4])
