"""A performance on boxes: one of label `call` is filled by an activity, and one that was filled with 2 at once is emptied again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from events.envelope import Envelope
from infra.adapters.event_store import EventStore, Record
from infra.engines.command_bus import CommandBus
from infra.engines.feed import Source
from infra.engines.performer import Performer, Send
from infra.engines.standstill import StoodStill
from infra.patterns.activity import Activity, Doing, Over, Performance
from infra.patterns.decider import Command, DeciderCatalog
from infra.patterns.saga import Ask
from tests.infra.boxes import DECIDERS, EVENTS, BoxEmptied, BoxFilled, BoxMade, EmptyBox, FillBox
from tests.infra.consuming import Place

POISON = 7


def react(envelope: Envelope[Any]) -> Sequence[Doing]:
    """An amount of 3 asks for what will be refused; one of 7 is poisonous."""
    box_id = envelope.entity_id
    match envelope.event:
        case BoxMade(label="call"):
            return [Activity(box_id)]
        case BoxFilled(amount=2):
            return [Over(box_id), EmptyBox(box_id=box_id)]
        case BoxFilled(amount=3):
            return [FillBox(box_id="nowhere")]
        case BoxFilled(amount=7):
            raise ValueError("poison")
        case BoxFilled() | BoxEmptied():
            return [Over(box_id)]
    return []


FILL_BOXES = Performance("fill_boxes_that_call", 1, (BoxMade, BoxFilled, BoxEmptied), react)


class Outside:
    """Where activities are carried out, while its gate is open; knows which, and how many at once."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.faults: list[Exception] = []
        self.amount = 1
        self.under_way = self.under_way_most = 0

    async def perform(
        self, tenant_id: str, stream_id: str, activity: Activity, send: Send, stood_still: StoodStill
    ) -> Command | Ask | None:
        """Fills a box that is still empty, with 1 if there is no room for `amount`."""
        self.begun.append(activity.key)
        self.under_way += 1
        self.under_way_most = max(self.under_way_most, self.under_way)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(activity.key)
            raise
        finally:
            self.under_way -= 1
        if self.faults:
            raise self.faults.pop(0)
        state = await self._bus.state(tenant_id, stream_id)
        box_id = activity.key
        wanted = Ask(FillBox(box_id=box_id, amount=self.amount), lambda code, message: FillBox(box_id=box_id))
        return None if state.content else wanted


class Performing:
    """A performer with a bus and an outside world of its own, as in a process."""

    def __init__(self, place: Place, deciders: DeciderCatalog = DECIDERS, kind: type[Performer] = Performer) -> None:
        self.bus = CommandBus(place.store, deciders, EVENTS, place.settings)
        self.outside = Outside(self.bus)
        self.performer = kind(FILL_BOXES, self.outside.perform, place.store, self.bus, EVENTS, place.settings)


class Troubles:
    """In the way of a bus: faults that come first, and a gate before each command that is executed."""

    def __init__(self, bus: CommandBus, *faults: Exception) -> None:
        self.faults = list(faults)
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[Command] = []
        execute = bus.execute

        async def after_trouble(command: Command, *given: Any, **more: Any) -> Any:
            self.asked.append(command)
            await self.gate.wait()
            if self.faults:
                raise self.faults.pop(0)
            return await execute(command, *given, **more)

        bus.execute = after_trouble  # type: ignore[method-assign]  # a store that is away or slow for a while


def only_until(store: EventStore, last: int) -> Source:
    """The log up to a position: what comes after it is still on its way."""

    async def follow(after: int) -> AsyncIterator[list[Record]]:
        while True:
            records = await store.read(after, 1_000, until=last)
            if records:
                after = records[-1].position
                yield records
            await asyncio.sleep(0.005)

    return follow
