"""The command bus decides on what it knows before it is written, and lets the log have the last word."""

import asyncio

import pytest

from events.envelope import Origin
from infra.adapters.event_store import Appended, StreamMoved
from infra.engines.command_bus import CommandBus
from infra.engines.command_request import EventTooLarge
from infra.errors import CommandIdReused, StoreUnavailable, VersionConflict
from infra.patterns.decider import Command
from infra.settings import Settings
from tests.infra.boxes import (
    NOW,
    BoxAlreadyMade,
    BoxFull,
    EmptyBox,
    FillBox,
    MakeBox,
    NoSuchBox,
    PourBox,
    SlowStore,
    origin,
)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class TestACommand:
    async def test_is_answered_with_what_it_wrote(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        answer = await bus.execute(FillBox(box_id="1"), origin())
        (_, record) = await store.read(0, 10)
        assert (answer.stream_id, answer.version, answer.position, answer.event_ids) == ("box-1", 2, 2, (record.id,))

    async def test_leaves_its_origin_and_its_time_on_the_events(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin("c1"))
        (record,) = await store.read(0, 10)
        assert record.occurred_at == NOW
        assert Origin.from_json(record.tenant_id, record.metadata) == origin("c1")

    async def test_is_refused_with_nothing_written(self, bus: CommandBus, store: SlowStore) -> None:
        with pytest.raises(NoSuchBox):
            await bus.execute(FillBox(box_id="1"), origin())
        assert await store.head() == 0

    async def test_may_find_nothing_to_do(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        assert await bus.execute(EmptyBox(box_id="1"), origin()) == Appended("box-1", 1, 1, ())
        assert store.submitted[1:] == []

    async def test_that_creates_is_refused_where_the_stream_is_there(
        self, bus: CommandBus, elsewhere: CommandBus
    ) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        for other in (bus, elsewhere):
            with pytest.raises(BoxAlreadyMade):
                await other.execute(MakeBox(box_id="1"), origin())

    async def test_sees_only_its_tenant(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        with pytest.raises(NoSuchBox):
            await bus.execute(FillBox(box_id="1"), origin(tenant_id="other"))

    async def test_cannot_write_an_event_that_is_too_large(
        self, store: SlowStore, settings: Settings, bus: CommandBus
    ) -> None:
        with pytest.raises(EventTooLarge) as refused:
            await bus.execute(MakeBox(box_id="1", label="x" * settings.event_bytes_max), origin())
        assert (refused.value.status, store.submitted) == (413, [])
        assert (await bus.execute(MakeBox(box_id="1"), origin())).version == 1


class TestCommandsOneAfterAnotherInOneProcess:
    async def test_are_decided_while_those_before_are_still_on_their_way(
        self, bus: CommandBus, store: SlowStore
    ) -> None:
        store.gate.clear()
        commands: list[Command] = [MakeBox(box_id="1"), *(FillBox(box_id="1") for _ in range(10))]
        running = [asyncio.create_task(bus.execute(command, origin())) for command in commands]
        await settle()
        assert [append.writes[0].expected for append in store.submitted] == list(range(11))
        assert (await store.head(), store.loads) == (0, 0)
        store.gate.set()
        assert [(await task).version for task in running] == list(range(1, 12))

    async def test_are_refused_only_when_those_before_are_written(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1", size=1), origin())
        store.gate.clear()
        filling = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        too_much = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        assert not too_much.done()
        store.gate.set()
        assert (await filling).version == 2
        with pytest.raises(BoxFull):
            await too_much

    async def test_are_not_refused_for_what_was_never_written(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1", size=1), origin())
        store.gate.clear()
        filling = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        after_all = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        store.faults.append(StoreUnavailable("away"))
        store.gate.set()
        with pytest.raises(StoreUnavailable):
            await filling
        assert (await after_all).version == 2
        assert await store.types() == ["box.made", "box.filled"]

    async def test_are_decided_again_when_one_before_them_fails(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        store.gate.clear()
        running = [asyncio.create_task(bus.execute(FillBox(box_id="1"), origin())) for _ in range(5)]
        await settle()
        store.faults.append(StoreUnavailable("away"))
        store.gate.set()
        answers = await asyncio.gather(*running, return_exceptions=True)
        assert isinstance(answers[0], StoreUnavailable)
        assert sorted(a.version for a in answers if isinstance(a, Appended)) == [2, 3, 4, 5]
        assert (await bus.execute(FillBox(box_id="1", amount=6), origin())).version == 6
        with pytest.raises(BoxFull):
            await bus.execute(FillBox(box_id="1"), origin())

    async def test_are_right_after_one_whose_sender_went_away(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1", size=2), origin())
        store.gate.clear()
        given_up = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        given_up.cancel()
        await settle()
        store.gate.set()
        written = (await store.types()).count("box.filled")
        for _ in range(2 - written):
            await bus.execute(FillBox(box_id="1"), origin())
        with pytest.raises(BoxFull):
            await bus.execute(FillBox(box_id="1"), origin())


class TestAConflictWithAnotherProcess:
    async def test_is_decided_again(self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        await elsewhere.execute(FillBox(box_id="1", amount=5), origin())
        assert (await bus.execute(FillBox(box_id="1", amount=5), origin())).version == 3
        with pytest.raises(BoxFull):
            await elsewhere.execute(FillBox(box_id="1"), origin())
        assert await store.head() == 3

    async def test_ends_in_the_refusal_that_it_now_deserves(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        await elsewhere.execute(FillBox(box_id="1", amount=10), origin())
        with pytest.raises(BoxFull):
            await bus.execute(FillBox(box_id="1"), origin())

    async def test_is_no_reason_to_refuse_on_what_was_known(self, bus: CommandBus, elsewhere: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1", size=1), origin())
        await bus.execute(FillBox(box_id="1"), origin())
        await elsewhere.execute(EmptyBox(box_id="1"), origin())
        assert (await bus.execute(FillBox(box_id="1"), origin())).version == 4

    async def test_is_tried_a_bounded_number_of_times(
        self, bus: CommandBus, store: SlowStore, settings: Settings
    ) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        store.faults.extend(StreamMoved("box-1", 1, 2) for _ in range(100))
        with pytest.raises(StreamMoved):
            await bus.execute(FillBox(box_id="1"), origin())
        assert len(store.submitted) - 1 == settings.conflict_retries_max + 1
        store.faults.clear()
        assert (await bus.execute(FillBox(box_id="1"), origin())).version == 2

    async def test_of_many_is_lost_by_nobody(self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1", size=40), origin())
        fills = [each.execute(FillBox(box_id="1"), origin()) for _ in range(20) for each in (bus, elsewhere)]
        answers = await asyncio.gather(*fills, return_exceptions=True)
        filled = sum(isinstance(answer, Appended) for answer in answers)
        assert (await store.types("box-1")).count("box.filled") == filled >= 20


class TestAnExpectedVersion:
    async def test_must_be_that_of_the_stream(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        assert (await bus.execute(FillBox(box_id="1"), origin(), expected_version=1)).version == 2
        for wrong in (0, 1, 3):
            with pytest.raises(VersionConflict) as refused:
                await bus.execute(FillBox(box_id="1"), origin(), expected_version=wrong)
            assert refused.value.details == {"stream_id": "box-1", "expected": wrong, "actual": 2}

    async def test_is_held_against_the_log_and_not_tried_again(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        await elsewhere.execute(FillBox(box_id="1"), origin())
        with pytest.raises(VersionConflict):
            await bus.execute(FillBox(box_id="1"), origin(), expected_version=1)
        assert (await bus.execute(FillBox(box_id="1"), origin(), expected_version=2)).version == 3

    async def test_may_be_one_that_is_still_on_its_way(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        store.gate.clear()
        first = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin()))
        await settle()
        second = asyncio.create_task(bus.execute(FillBox(box_id="1"), origin(), expected_version=2))
        await settle()
        store.gate.set()
        assert [(await first).version, (await second).version] == [2, 3]

    async def test_says_nothing_about_other_streams(self, bus: CommandBus, elsewhere: CommandBus) -> None:
        for box_id in "12":
            await bus.execute(MakeBox(box_id=box_id), origin())
        await bus.execute(FillBox(box_id="1"), origin())
        await elsewhere.execute(FillBox(box_id="2"), origin())
        assert (await bus.execute(PourBox(box_id="1", into_id="2"), origin(), expected_version=2)).version == 3


class TestARememberedCommand:
    async def test_is_done_once_and_answered_alike(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        first = await bus.execute(MakeBox(box_id="1"), origin("c1"), remember=True)
        for again in (bus, elsewhere):
            answer = await again.execute(MakeBox(box_id="1"), origin("c1"), remember=True)
            assert answer == first._replace(repeated=True)
        assert await store.head() == 1

    async def test_is_answered_alike_even_if_it_would_be_refused_now(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1", size=1), origin())
        first = await bus.execute(FillBox(box_id="1"), origin("c1"), remember=True)
        assert await bus.execute(FillBox(box_id="1"), origin("c1"), remember=True) == first._replace(repeated=True)

    async def test_does_not_spoil_what_is_known_of_its_stream(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1", size=2), origin())
        for _ in range(3):
            await bus.execute(FillBox(box_id="1"), origin("c1"), remember=True)
        assert (await bus.execute(FillBox(box_id="1"), origin())).version == 3
        with pytest.raises(BoxFull):
            await bus.execute(FillBox(box_id="1"), origin())

    async def test_is_done_once_if_it_comes_twice_at_the_same_time(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        twice = [bus.execute(FillBox(box_id="1"), origin("c1"), remember=True) for _ in range(2)]
        answers = await asyncio.gather(*twice)
        assert sorted(answer.repeated for answer in answers) == [False, True]
        assert await store.types() == ["box.made", "box.filled"]

    async def test_has_an_id_for_no_other_command(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="1"), origin("c1"), remember=True)
        for other in (MakeBox(box_id="1", size=9), FillBox(box_id="1"), MakeBox(box_id="2")):
            with pytest.raises(CommandIdReused):
                await bus.execute(other, origin("c1"), remember=True)
        assert await store.head() == 1

    async def test_that_changed_nothing_changes_nothing_later(self, bus: CommandBus, elsewhere: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        first = await bus.execute(EmptyBox(box_id="1"), origin("c1"), remember=True)
        await bus.execute(FillBox(box_id="1"), origin())
        for again in (bus, elsewhere):
            answer = await again.execute(EmptyBox(box_id="1"), origin("c1"), remember=True)
            assert answer == first._replace(repeated=True)
            assert (await again.state("acme", "box-1")).content == 1

    async def test_that_changes_nothing_is_decided_again_if_its_stream_moves_meanwhile(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await bus.execute(MakeBox(box_id="1"), origin())
        store.gate.clear()
        filling = asyncio.create_task(elsewhere.execute(FillBox(box_id="1"), origin()))
        await settle()
        emptying = asyncio.create_task(bus.execute(EmptyBox(box_id="1"), origin("c1"), remember=True))
        await settle()
        assert len(store.submitted) == 3
        store.gate.set()
        assert (await filling).version == 2
        assert (await emptying).version == 3
        assert await store.types() == ["box.made", "box.filled", "box.emptied"]

    async def test_that_was_refused_may_be_tried_again(self, bus: CommandBus) -> None:
        with pytest.raises(NoSuchBox):
            await bus.execute(FillBox(box_id="1"), origin("c1"), remember=True)
        await bus.execute(MakeBox(box_id="1"), origin())
        assert (await bus.execute(FillBox(box_id="1"), origin("c1"), remember=True)).version == 2

    async def test_is_done_again_if_nobody_asked_to_remember_it(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="1"), origin("c1"))
        assert [(await bus.execute(FillBox(box_id="1"), origin("c1"))).version for _ in range(2)] == [2, 3]
