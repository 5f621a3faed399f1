"""After a conflict only what others have written since is read: who comes second need not begin at the first event."""

import asyncio

import pytest

from infra.adapters.event_store import Appended
from infra.engines.command_bus import CommandBus
from infra.engines.command_request import Request
from tests.infra.boxes import EmptyBox, FillBox, MakeBox, SlowStore, origin


async def fill(bus: CommandBus, times: int = 1) -> None:
    for _ in range(times):
        await bus.execute(FillBox(box_id="1"), origin())


class TestWhoComesSecond:
    async def test_reads_what_came_since_he_looked_last(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=100), origin())
        await fill(bus, 4)
        await fill(elsewhere, 2)
        store.loaded_after.clear()
        await fill(bus)
        assert store.loaded_after == [5]
        await fill(elsewhere)
        assert store.loaded_after == [5, 7]

    async def test_does_so_again_each_time_that_he_is_late(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=1_000), origin())
        await fill(elsewhere)
        store.loaded_after.clear()
        for _ in range(5):
            await asyncio.gather(fill(bus, 3), fill(elsewhere, 3))
        assert (await elsewhere.state("acme", "box-1", fresh=True)).content == 31
        assert 0 not in store.loaded_after

    async def test_decides_on_nothing_that_was_refused(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        """Two commands are under way, the second decided on the first; both are late, and a third comes meanwhile."""
        await bus.execute(MakeBox(box_id="1", size=10), origin())
        await elsewhere.execute(FillBox(box_id="1", amount=3), origin())
        store.gate.clear()
        late = [asyncio.create_task(bus.execute(FillBox(box_id="1", amount=3), origin())) for _ in range(2)]
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(*late)
        assert (await bus.execute(EmptyBox(box_id="1"), origin())).version == 5
        assert await store.types("box-1") == ["box.made", *["box.filled"] * 3, "box.emptied"]
        assert (
            (await bus.state("acme", "box-1")).content
            == (await elsewhere.state("acme", "box-1", fresh=True)).content
            == 0
        )

    async def test_of_a_box_that_was_there_already_reads_it_from_its_beginning(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await elsewhere.execute(MakeBox(box_id="1"), origin())
        answers = await asyncio.gather(bus.execute(MakeBox(box_id="1"), origin()), return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == ["BoxAlreadyMade"]
        assert (await bus.execute(FillBox(box_id="1"), origin())).version == 2


class TestALogThatHasLostItsEnd:
    async def test_is_read_again_from_its_beginning(self, bus: CommandBus, store: SlowStore) -> None:
        """As after a failover to a server that lacked the last transaction."""
        await bus.execute(MakeBox(box_id="1", size=100), origin())
        await fill(bus, 2)
        store._log.pop()
        store._versions["acme", "box-1"] -= 1
        await fill(bus)
        assert (await bus.state("acme", "box-1", fresh=True)).content == 2


class TestNothingToDo:
    async def test_is_no_answer_once_the_stream_has_moved_on(
        self, bus: CommandBus, store: SlowStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=10), origin())
        answered, asked, go = store.answer, asyncio.Event(), asyncio.Event()

        async def slow(tenant_id: str, command_id: str, fingerprint: bytes) -> Appended | None:
            asked.set()
            await go.wait()
            return await answered(tenant_id, command_id, fingerprint)

        monkeypatch.setattr(store, "answer", slow)
        emptying = asyncio.create_task(bus.execute(EmptyBox(box_id="1"), origin("c1"), remember=True))
        await asked.wait()
        await bus.execute(FillBox(box_id="1", amount=3), origin())
        go.set()
        assert (await emptying).version == 3
        assert (await bus.state("acme", "box-1", fresh=True)).content == 0

    async def test_is_answered_though_the_stream_never_rests(
        self, bus: CommandBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await bus.execute(MakeBox(box_id="1", size=10), origin())
        known = bus._known

        async def moved_meanwhile(request: Request) -> Appended | None:
            await bus.execute(FillBox(box_id="1", amount=3), origin())
            await bus.execute(EmptyBox(box_id="1"), origin())
            return await known(request)

        monkeypatch.setattr(
            bus, "_known", lambda request: moved_meanwhile(request) if request.remember else known(request)
        )
        async with asyncio.timeout(5):
            answer = await bus.execute(EmptyBox(box_id="1"), origin("c1"), remember=True)
        assert answer.version == 3
