"""A small world for tests of the engines: boxes of a certain size that are filled, emptied and poured; and a slow store."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from events.catalog import Catalog
from events.envelope import Origin
from events.event import Event
from infra.adapters.append_plan import with_each_stream_once
from infra.adapters.event_store import Append, Appended, Record
from infra.adapters.memory_store import MemoryEventStore
from infra.errors import NotFound, Rejection
from infra.ids import new_id
from infra.patterns.decider import Command, Decider, DeciderCatalog, Others

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class BoxMade(Event):
    type: ClassVar[str] = "box.made"
    size: int
    label: str = ""


class BoxFilled(Event):
    type: ClassVar[str] = "box.filled"
    amount: int


class BoxEmptied(Event):
    type: ClassVar[str] = "box.emptied"


class MakeBox(Command):
    creates: ClassVar[bool] = True
    box_id: str
    size: int = 10
    label: str = ""


class MakeBoxLike(Command):
    """Of the same size as another, which is consulted."""

    creates: ClassVar[bool] = True
    box_id: str
    like_id: str


class FillBox(Command):
    box_id: str
    amount: int = 1


class EmptyBox(Command):
    box_id: str


class PourBox(Command):
    """Empty it into another, which is a companion."""

    box_id: str
    into_id: str


class NoSuchBox(NotFound):
    """There is no such box."""


class BoxAlreadyMade(Rejection):
    """There is such a box already."""


class BoxFull(Rejection):
    """There is no room for that in the box."""


@dataclass(frozen=True)
class BoxState:
    size: int | None = None
    content: int = 0


def decide(command: Command, state: BoxState, others: Others) -> Sequence[Event]:
    match command:
        case MakeBox(size=size, label=label):
            _require_new(state)
            return [BoxMade(size=size, label=label)]
        case MakeBoxLike(like_id=like_id):
            _require_new(state)
            size = others[f"box-{like_id}"].size
            if size is None:
                raise NoSuchBox
            return [BoxMade(size=size)]
    if state.size is None:
        raise NoSuchBox
    if isinstance(command, FillBox):
        if state.content + command.amount > state.size:
            raise BoxFull
        return [BoxFilled(amount=command.amount)]
    return [BoxEmptied()] if state.content else []


def _require_new(state: BoxState) -> None:
    if state.size is not None:
        raise BoxAlreadyMade


def evolve(state: BoxState, event: Event) -> BoxState:
    match event:
        case BoxMade(size=size):
            return BoxState(size, 0)
        case BoxFilled(amount=amount):
            return BoxState(state.size, state.content + amount)
        case _:
            return BoxState(state.size, 0)


def companions(command: Command, state: BoxState) -> Sequence[Command]:
    return [FillBox(box_id=command.into_id, amount=state.content)] if isinstance(command, PourBox) else ()


def consults(command: Command, state: object) -> Sequence[str]:
    return (f"box-{command.like_id}",) if isinstance(command, MakeBoxLike) else ()


BOX = Decider(
    "box", (MakeBox, MakeBoxLike, FillBox, EmptyBox, PourBox), BoxState(), decide, evolve, companions, consults
)
DECIDERS = DeciderCatalog(BOX)
EVENTS = Catalog(BoxMade | BoxFilled | BoxEmptied)


class SlowStore(MemoryEventStore):
    """Writes when its gate is open, in order; fails as often as it is told; counts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.faults: list[Exception] = []
        self.submitted: list[Append] = []
        self.loads = 0
        self.loaded_after: list[int] = []

    def submit(self, append: Append) -> asyncio.Future[Appended]:
        self.submitted.append(append)
        return asyncio.ensure_future(self._through_the_gate(append))

    async def _through_the_gate(self, append: Append) -> Appended:
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        return await self._write(with_each_stream_once(append))

    async def load(self, tenant_id: str, stream_id: str, after: int = 0) -> list[Record]:
        self.loads += 1
        self.loaded_after.append(after)
        await asyncio.sleep(0)
        return await super().load(tenant_id, stream_id, after)

    async def types(self, stream_id: str | None = None) -> list[str]:
        return [record.type for record in await self.read(0, 1_000, stream_id=stream_id)]


def origin(command_id: str | None = None, tenant_id: str = "acme") -> Origin:
    made = command_id or new_id()
    return Origin(tenant_id, "user:alice", made, made, made)
