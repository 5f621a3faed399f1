"""The command bus when a batch meets what another process has moved meanwhile."""

import asyncio

import pytest

from infra.adapters.event_store import Appended, Record
from infra.engines.command_bus import CommandBus
from infra.patterns.decider import Command
from infra.settings import Settings
from tests.infra.boxes import (
    DECIDERS,
    EVENTS,
    BoxFull,
    EmptyBox,
    FillBox,
    MakeBox,
    MakeBoxLike,
    SlowStore,
    origin,
)


class UnevenStore(SlowStore):
    """Takes longer to read the box `a`."""

    async def load(self, tenant_id: str, stream_id: str, after: int = 0) -> list[Record]:
        if stream_id == "box-a":
            await asyncio.sleep(0.02)
        return await super().load(tenant_id, stream_id, after)


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

    @pytest.mark.parametrize("then", [FillBox(box_id="b"), EmptyBox(box_id="b")])
    async def test_decides_again_in_order_what_rests_on_what_has_moved(self, settings: Settings, then: Command) -> None:
        """Whether it is written with it or writes nothing itself: the box that it is about is there once the first has its turn."""
        store = UnevenStore()
        bus, elsewhere = (CommandBus(store, DECIDERS, EVENTS, settings) for _ in range(2))
        await bus.execute(MakeBox(box_id="a", size=9), origin())
        await elsewhere.execute(FillBox(box_id="a"), origin())
        commands = [MakeBoxLike(box_id="b", like_id="a"), then]
        results = await bus.execute_many([(command, origin(), True) for command in commands])
        assert [type(result) for result in results] == [Appended, Appended]

    async def test_decides_again_in_order_though_others_are_between(self, settings: Settings) -> None:
        store = UnevenStore()
        bus, elsewhere = (CommandBus(store, DECIDERS, EVENTS, settings) for _ in range(2))
        await bus.execute(MakeBox(box_id="a", size=9), origin())
        await bus.execute(MakeBox(box_id="z", size=9), origin())
        await elsewhere.execute(FillBox(box_id="a"), origin())
        commands = [
            MakeBoxLike(box_id="b", like_id="a"),
            MakeBoxLike(box_id="c", like_id="b"),
            FillBox(box_id="z"),
            FillBox(box_id="c", amount=9),
            FillBox(box_id="c"),
        ]
        results = await bus.execute_many([(command, origin(), False) for command in commands])
        assert [type(result) for result in results] == [Appended, Appended, Appended, Appended, BoxFull]
