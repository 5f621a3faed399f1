"""The command bus keeps states of long streams, and begins with them instead of with the first event."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from infra.adapters.event_store import Snapshot
from infra.adapters.memory_store import MemoryEventStore
from infra.engines.command_bus import CommandBus
from infra.patterns.decider import DeciderCatalog, StateForm
from infra.settings import Settings
from tests.infra.boxes import BOX, EVENTS, BoxFull, BoxState, FillBox, MakeBox, origin

FORM = StateForm(1, TypeAdapter(BoxState))
KEY = ("acme", "box-a")


def bus_over(store: MemoryEventStore, form: StateForm | None = FORM) -> CommandBus:
    box = replace(BOX, snapshots=form)
    return CommandBus(store, DeciderCatalog(box), EVENTS, Settings(events_per_snapshot=3))


@pytest.fixture
async def store() -> MemoryEventStore:
    store = MemoryEventStore()
    bus = bus_over(store)
    await bus.execute(MakeBox(box_id="a", size=6), origin())
    for _ in range(6):
        await bus.execute(FillBox(box_id="a"), origin())
    await asyncio.sleep(0)
    return store


class TestALongStream:
    async def test_has_its_newest_state_kept(self, store: MemoryEventStore) -> None:
        kept = await store.snapshot(*KEY)
        assert kept is not None
        assert (kept.form, kept.version) == (1, 6)

    async def test_is_folded_from_there(self, store: MemoryEventStore) -> None:
        # Only what comes after the snapshot can be read at all.
        store._log = [record for record in store._log if record.stream_version > 6]
        with pytest.raises(BoxFull):
            await bus_over(store).execute(FillBox(box_id="a"), origin())

    async def test_is_folded_from_its_beginning_if_the_form_is_another(self, store: MemoryEventStore) -> None:
        await store.keep_snapshot(*KEY, Snapshot(2, 99, b"{}"))
        with pytest.raises(BoxFull):
            await bus_over(store).execute(FillBox(box_id="a"), origin())

    async def test_is_folded_from_its_beginning_if_what_was_kept_cannot_be_read(self, store: MemoryEventStore) -> None:
        await store.keep_snapshot(*KEY, Snapshot(1, 99, b'{"size": "large"}'))
        with pytest.raises(BoxFull):
            await bus_over(store).execute(FillBox(box_id="a"), origin())

    async def test_of_a_decider_without_a_form_keeps_nothing(self) -> None:
        store = MemoryEventStore()
        bus = bus_over(store, None)
        await bus.execute(MakeBox(box_id="a", size=6), origin())
        for _ in range(5):
            await bus.execute(FillBox(box_id="a"), origin())
        await asyncio.sleep(0)
        assert await store.snapshot(*KEY) is None
