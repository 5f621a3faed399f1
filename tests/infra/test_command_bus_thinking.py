"""Commands whose decision has to wait for a guarded child: a thread waits, and the process goes on with all others."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from events.event import Event
from infra.adapters.memory_store import MemoryEventStore
from infra.engines.command_bus import CommandBus
from infra.errors import VersionConflict
from infra.expressions.guard import HERE, WouldWait
from infra.expressions.program import evaluate_guarded
from infra.patterns.decider import Decider, DeciderCatalog
from infra.settings import Settings
from tests.infra.boxes import EVENTS, NOW, BoxFilled, BoxFull, BoxMade, BoxState, FillBox, MakeBox, origin
from tests.infra.boxes import evolve as evolve_box

SLOWLY = "last(range(100000))"


class Scales:
    """Says how much goes into a box, once it is `open`; for 0 it says so at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked: list[BoxState] = []

    def weigh(self, amount: int, state: BoxState) -> int:
        if amount:
            if not HERE.may_wait:
                raise WouldWait
            self.asked.append(state)
            assert self.open.wait(5)
        return amount

    def decide(self, command: MakeBox | FillBox, state: BoxState) -> Sequence[Event]:
        if isinstance(command, MakeBox):
            return [BoxMade(size=command.size)]
        if state.content + self.weigh(command.amount, state) > (state.size or 0):
            raise BoxFull
        return [BoxFilled(amount=command.amount)]


@pytest.fixture
def scales() -> Scales:
    return Scales()


@pytest.fixture
async def bus(scales: Scales, settings: Settings) -> AsyncIterator[CommandBus]:
    box = Decider("box", (MakeBox, FillBox), BoxState(), scales.decide, evolve_box)
    settings = settings.model_copy(update={"conflict_retries_max": 3})
    bus = CommandBus(MemoryEventStore(), DeciderCatalog(box), EVENTS, settings, lambda: NOW)
    for box_id in "ab":
        await bus.execute(MakeBox(box_id=box_id), origin())
    yield bus
    scales.open.set()


async def begin(bus: CommandBus, scales: Scales, amount: int, times: int) -> "asyncio.Task[object]":
    """Fill box a, and wait until that has been thought about so many times."""
    filling = asyncio.create_task(bus.execute(FillBox(box_id="a", amount=amount), origin()))
    while len(scales.asked) < times:
        await asyncio.sleep(0.001)
    return filling


class TestACommandThatWaits:
    async def test_holds_up_no_other(self, bus: CommandBus, scales: Scales) -> None:
        filling = await begin(bus, scales, 3, 1)
        assert (await bus.execute(FillBox(box_id="b", amount=0), origin())).version == 2
        assert not filling.done()
        scales.open.set()
        await filling
        assert (await bus.state("acme", "box-a")).content == 3

    async def test_is_thought_about_again_once_its_stream_has_moved(self, bus: CommandBus, scales: Scales) -> None:
        filling = await begin(bus, scales, 3, 1)
        await bus.execute(FillBox(box_id="a", amount=0), origin())
        scales.open.set()
        await filling
        assert [state.content for state in scales.asked] == [0, 0]
        assert (await bus.state("acme", "box-a")).content == 3

    async def test_comes_after_the_one_before_it(self, bus: CommandBus, scales: Scales) -> None:
        first = await begin(bus, scales, 6, 1)
        second = asyncio.create_task(bus.execute(FillBox(box_id="a", amount=6), origin()))
        await asyncio.sleep(0.01)
        scales.open.set()
        await first
        with pytest.raises(BoxFull):
            await second
        assert [state.content for state in scales.asked] == [0, 6]

    async def test_is_refused_if_its_stream_never_rests(self, bus: CommandBus, scales: Scales) -> None:
        scales.open.set()
        original = bus._deciding.think

        async def think(request: object) -> None:
            await original(request)  # type: ignore[arg-type]
            await bus.execute(FillBox(box_id="a", amount=0), origin())

        bus._deciding.think = think  # type: ignore[method-assign,assignment]
        with pytest.raises(VersionConflict):
            await bus.execute(FillBox(box_id="a", amount=1), origin())
        assert len(scales.asked) == 4
        assert (await bus.state("acme", "box-a")).content == 0

    async def test_can_be_one_of_a_batch(self, bus: CommandBus, scales: Scales) -> None:
        scales.open.set()
        commands = [FillBox(box_id="a", amount=amount) for amount in (4, 0, 5, 3)]
        results = await bus.execute_many([(command, origin(), True) for command in commands])
        assert [getattr(result, "version", type(result)) for result in results] == [2, 3, 4, BoxFull]


class TestAGuardedExpression:
    async def test_leaves_the_loop_free(self, settings: Settings) -> None:
        ticks = 0

        def decide(command: MakeBox, state: BoxState) -> Sequence[Event]:
            found = evaluate_guarded(SLOWLY, None, {})
            assert isinstance(found, int)
            return [BoxMade(size=found)]

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        box = Decider("box", (MakeBox,), BoxState(), decide, evolve_box)
        bus = CommandBus(MemoryEventStore(), DeciderCatalog(box), EVENTS, settings, lambda: NOW)
        ticking = asyncio.create_task(tick())
        await bus.execute(MakeBox(box_id="a"), origin())
        ticking.cancel()
        assert (await bus.state("acme", "box-a")).size == 99_999
        assert ticks > 10
