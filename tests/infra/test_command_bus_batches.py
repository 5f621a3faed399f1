"""The command bus when a batch meets what another process has moved meanwhile."""

import asyncio

from infra.adapters.event_store import Appended
from infra.engines.command_bus import CommandBus
from tests.infra.boxes import BoxFull, EmptyBox, FillBox, MakeBox, SlowStore, origin


class TestABatch:
    async def test_finds_out_at_once_what_another_process_has_moved(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute_many([(MakeBox(box_id=f"b{number}", size=1), origin(), False) for number in range(50)])
        for number in range(50):
            await elsewhere.execute(FillBox(box_id=f"b{number}"), origin())
        store.loads = 0
        submitted = len(store.submitted)
        store.gate.clear()
        emptying = asyncio.ensure_future(
            bus.execute_many([(EmptyBox(box_id=f"b{number}"), origin(), True) for number in range(50)])
        )
        while len(store.submitted) < submitted + 50:
            await asyncio.sleep(0)
        assert store.loads == 50
        store.gate.set()
        assert [result.version for result in await emptying if isinstance(result, Appended)] == [3] * 50

    async def test_refuses_in_order_what_is_still_refused(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute_many([(MakeBox(box_id=box_id, size=1), origin(), False) for box_id in "ab"])
        await bus.execute_many([(FillBox(box_id=box_id), origin(), False) for box_id in "ab"])
        await elsewhere.execute(EmptyBox(box_id="b"), origin())
        commands = [
            FillBox(box_id="a"),
            FillBox(box_id="b"),
            EmptyBox(box_id="a"),
            FillBox(box_id="a"),
            FillBox(box_id="b"),
        ]
        results = await bus.execute_many([(command, origin(), True) for command in commands])
        assert [type(result) for result in results] == [BoxFull, Appended, Appended, Appended, BoxFull]
        assert await store.head() == 8
