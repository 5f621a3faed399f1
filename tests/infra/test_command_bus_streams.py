"""The command bus over several streams and several commands: companions, consulted streams, batches, and the real deciders."""

import asyncio

import pytest

from events.catalog import CATALOG as REAL_EVENTS
from infra.adapters.event_store import Append, Appended, NewEvent, Write
from infra.cancellation import end
from infra.engines.command_bus import CommandBus
from infra.errors import Rejection, StoreUnavailable
from infra.ids import new_uuid7
from infra.patterns.decider import Command, Decider, DeciderCatalog
from infra.settings import Settings
from tests.infra.boxes import (
    BOX,
    DECIDERS,
    EVENTS,
    NOW,
    BoxAlreadyMade,
    BoxFull,
    EmptyBox,
    FillBox,
    MakeBox,
    MakeBoxLike,
    NoSuchBox,
    PourBox,
    SlowStore,
    origin,
)
from write_side.agent import CreateAgent, DeleteAgent, UpdateAgent
from write_side.agent_name import AgentNameTaken
from write_side.catalog import CATALOG as REAL_DECIDERS
from write_side.node import RegisterNode
from write_side.task import RequestTask


async def boxes(bus: CommandBus, **contents: int) -> None:
    """Boxes of size 10 with something in them."""
    for box_id, content in contents.items():
        await bus.execute(MakeBox(box_id=box_id), origin())
        if content:
            await bus.execute(FillBox(box_id=box_id, amount=content), origin())


class TestACompanion:
    async def test_is_written_with_the_command(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=4, b=1)
        answer = await bus.execute(PourBox(box_id="a", into_id="b"), origin())
        assert (answer.stream_id, answer.version, answer.position) == ("box-a", 3, 6)
        assert [(r.stream_id, r.type) for r in await store.read(4, 10)] == [
            ("box-a", "box.emptied"),
            ("box-b", "box.filled"),
        ]

    async def test_that_is_refused_refuses_the_command(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=6, b=6)
        with pytest.raises(BoxFull):
            await bus.execute(PourBox(box_id="a", into_id="b"), origin())
        with pytest.raises(NoSuchBox):
            await bus.execute(PourBox(box_id="a", into_id="nowhere"), origin())
        assert await store.head() == 4

    async def test_is_not_asked_for_when_there_is_nothing_to_do(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=0)
        assert (await bus.execute(PourBox(box_id="a", into_id="nowhere"), origin())).ids == ()

    async def test_is_decided_again_when_its_stream_has_moved(self, bus: CommandBus, elsewhere: CommandBus) -> None:
        await boxes(bus, a=4, b=1)
        await elsewhere.execute(FillBox(box_id="b", amount=6), origin())
        with pytest.raises(BoxFull):
            await bus.execute(PourBox(box_id="a", into_id="b"), origin())
        await elsewhere.execute(EmptyBox(box_id="b"), origin())
        assert (await bus.execute(PourBox(box_id="a", into_id="b"), origin())).version == 3

    async def test_never_gives_a_version_twice(self, bus: CommandBus, store: SlowStore) -> None:
        """Poured into itself, the box would be written by two of one append."""
        await boxes(bus, a=4)
        with pytest.raises(ValueError, match="stands twice"):
            await bus.execute(PourBox(box_id="a", into_id="a"), origin())
        assert (await bus.execute(FillBox(box_id="a"), origin())).version == 3


class TestAConsultedStream:
    async def test_decides_with_the_command(self, bus: CommandBus, store: SlowStore) -> None:
        await bus.execute(MakeBox(box_id="a", size=3), origin())
        await bus.execute(MakeBoxLike(box_id="b", like_id="a"), origin())
        await bus.execute(FillBox(box_id="b", amount=3), origin())
        with pytest.raises(BoxFull):
            await bus.execute(FillBox(box_id="b"), origin())

    async def test_that_does_not_exist_is_in_its_first_state(self, bus: CommandBus) -> None:
        with pytest.raises(NoSuchBox):
            await bus.execute(MakeBoxLike(box_id="b", like_id="nothing"), origin())

    async def test_must_not_have_moved(self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=0)
        await elsewhere.execute(FillBox(box_id="a"), origin())
        await bus.execute(MakeBoxLike(box_id="b", like_id="a"), origin())
        tried = [append for append in store.submitted if append.writes[0].stream_id == "box-b"]
        assert [[(w.stream_id, w.expected, len(w.events)) for w in append.writes] for append in tried] == [
            [("box-b", 0, 1), ("box-a", 1, 0)],
            [("box-b", 0, 1), ("box-a", 2, 0)],
        ]

    async def test_may_be_the_own_one(self, store: SlowStore, settings: Settings) -> None:
        looking = Decider(
            "box", BOX.commands, BOX.initial, BOX.decide, BOX.evolve, consults=lambda c, _: (f"box-{c.box_id}",)
        )
        bus = CommandBus(store, DeciderCatalog(looking), EVENTS, settings)
        await bus.execute(MakeBox(box_id="a"), origin())
        assert [(await bus.execute(FillBox(box_id="a"), origin())).version for _ in range(3)] == [2, 3, 4]


class TestABatch:
    async def test_is_carried_out_in_order_with_one_result_each(self, bus: CommandBus, store: SlowStore) -> None:
        commands: list[Command] = [
            MakeBox(box_id="a", size=2),
            MakeBoxLike(box_id="b", like_id="a"),
            FillBox(box_id="b", amount=2),
            FillBox(box_id="b"),
            EmptyBox(box_id="b"),
            FillBox(box_id="b"),
            MakeBox(box_id="a"),
            PourBox(box_id="b", into_id="a"),
        ]
        results = await bus.execute_many([(command, origin(), False) for command in commands])
        assert [type(result) for result in results] == [
            Appended,
            Appended,
            Appended,
            BoxFull,
            Appended,
            Appended,
            BoxAlreadyMade,
            Appended,
        ]
        assert [result.version for result in results if isinstance(result, Appended)] == [1, 1, 2, 3, 4, 5]
        assert await store.head() == 7

    async def test_may_consult_a_stream_that_it_has_just_made(self, bus: CommandBus, store: SlowStore) -> None:
        store.gate.clear()
        commands: list[Command] = [
            MakeBox(box_id="a", size=2),
            MakeBoxLike(box_id="b", like_id="a"),
            FillBox(box_id="b"),
        ]
        running = asyncio.ensure_future(bus.execute_many([(command, origin(), False) for command in commands]))
        while len(store.submitted) < 3:
            await asyncio.sleep(0)
        store.gate.set()
        assert [result.position for result in await running if isinstance(result, Appended)] == [1, 2, 3]

    async def test_repeats_nothing_when_it_is_repeated(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        batch = [(FillBox(box_id="a"), origin(f"c{number}"), True) for number in range(5)]
        await boxes(bus, a=0)
        first = await bus.execute_many(batch)
        second = await elsewhere.execute_many(batch)
        assert [result._replace(repeated=True) for result in first if isinstance(result, Appended)] == second
        assert await store.head() == 6

    async def test_does_a_command_once_that_stands_in_it_twice(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=0)
        twice = [(FillBox(box_id="a"), origin("c1"), True)] * 2
        results = await bus.execute_many([*twice, (FillBox(box_id="a"), origin(), False)])
        assert all(isinstance(result, Appended) for result in results)
        assert await store.types("box-a") == ["box.made", "box.filled", "box.filled"]

    async def test_reads_all_its_streams_at_once(
        self, bus: CommandBus, elsewhere: CommandBus, store: SlowStore
    ) -> None:
        await boxes(elsewhere, **{f"b{number}": 0 for number in range(50)})
        store.loads = 0
        store.gate.clear()
        filling = asyncio.ensure_future(
            bus.execute_many([(FillBox(box_id=f"b{number}"), origin(), False) for number in range(50)])
        )
        while len(store.submitted) < 100:
            await asyncio.sleep(0)
        assert store.loads == 50
        store.gate.set()
        assert all(isinstance(result, Appended) for result in await filling)

    async def test_fails_only_where_the_store_fails(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=0, b=0)
        store.faults.append(StoreUnavailable("away"))
        results = await bus.execute_many([(FillBox(box_id=box_id), origin(), False) for box_id in "aba"])
        assert [type(result) for result in results] == [StoreUnavailable, Appended, Appended]
        assert (await bus.execute(FillBox(box_id="a"), origin())).version == 3

    async def test_is_right_with_a_cache_that_holds_hardly_anything(self, store: SlowStore, settings: Settings) -> None:
        bus = CommandBus(store, DECIDERS, EVENTS, settings.model_copy(update={"cached_streams_max": 2}))
        batch: list[Command] = [MakeBox(box_id=f"{number}") for number in range(20)]
        batch.extend(FillBox(box_id=f"{number % 20}") for number in range(100))
        results = await bus.execute_many([(command, origin(), False) for command in batch])
        assert all(isinstance(result, Appended) for result in results)
        assert {len(await store.types(f"box-{number}")) for number in range(20)} == {6}

    async def test_goes_on_past_a_stream_that_cannot_be_read(self, bus: CommandBus, store: SlowStore) -> None:
        await boxes(bus, a=0)
        unreadable = Write("box-x", 0, [NewEvent("box.made", 1, b'{"size":"large"}', new_uuid7())])
        await store.append(Append("acme", [unreadable], NOW))
        results = await bus.execute_many(
            [(FillBox(box_id=box_id), origin(), False) for box_id in ("x", "a", "nowhere", "x")]
        )
        assert [type(result).__name__ for result in results] == [
            "ValidationError",
            "Appended",
            "NoSuchBox",
            "ValidationError",
        ]


class TestARefusal:
    async def test_is_answered_while_others_go_on_writing(self, bus: CommandBus) -> None:
        await bus.execute(MakeBox(box_id="a", size=1_000_000), origin())

        async def fill() -> None:
            while True:
                await bus.execute(FillBox(box_id="a"), origin())

        others = [asyncio.create_task(fill()) for _ in range(8)]
        await asyncio.sleep(0.01)
        try:
            with pytest.raises(BoxFull):
                async with asyncio.timeout(0.3):
                    await bus.execute(FillBox(box_id="a", amount=1_000_000), origin())
        finally:
            await end(*others)


class TestTheRealDeciders:
    @pytest.fixture
    def bus(self, store: SlowStore, settings: Settings) -> CommandBus:
        return CommandBus(store, REAL_DECIDERS, REAL_EVENTS, settings)

    async def test_give_a_name_to_one_agent_only(self, bus: CommandBus, store: SlowStore, settings: Settings) -> None:
        elsewhere = CommandBus(store, REAL_DECIDERS, REAL_EVENTS, settings)
        create = [CreateAgent(agent_id=str(number), name="Ada", agent_type="reactive") for number in range(20)]
        racing = [(bus, elsewhere)[number % 2].execute(command, origin()) for number, command in enumerate(create)]
        results = await asyncio.gather(*racing, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["AgentNameTaken"] * 19 + ["Appended"]
        assert await store.types() == ["agent.created", "agent_name.claimed"]

    async def test_free_a_name_with_the_agent_that_had_it(self, bus: CommandBus) -> None:
        commands: list[Command] = [
            CreateAgent(agent_id="1", name="Ada", agent_type="reactive"),
            CreateAgent(agent_id="2", name="ada ", agent_type="reactive"),
            UpdateAgent(agent_id="1", name="Grace"),
            CreateAgent(agent_id="3", name="ADA", agent_type="reactive"),
            DeleteAgent(agent_id="1"),
            CreateAgent(agent_id="4", name="grace", agent_type="reactive"),
        ]
        results = await bus.execute_many([(command, origin(), False) for command in commands])
        assert [isinstance(result, Rejection) for result in results] == [False, True, False, False, False, False]
        assert isinstance(results[1], AgentNameTaken)

    async def test_take_a_task_for_an_agent_of_the_same_batch(self, bus: CommandBus) -> None:
        commands: list[Command] = [
            RequestTask(task_id="1", agent_id="1", title="before there is an agent", input=None),
            CreateAgent(agent_id="1", name="Ada", agent_type="reactive"),
            RequestTask(task_id="2", agent_id="1", title="after", input=None),
        ]
        results = await bus.execute_many([(command, origin(), False) for command in commands])
        assert [isinstance(result, Appended) for result in results] == [False, True, True]

    async def test_register_many_nodes_in_one_fleet(self, bus: CommandBus, store: SlowStore) -> None:
        nodes = [
            RegisterNode(node_id=str(number), name=f"n{number}", cpu_milli=1, memory_mib=1, gpu_count=0)
            for number in range(30)
        ]
        answers = await asyncio.gather(*(bus.execute(node, origin()) for node in nodes))
        assert sorted(answer.position for answer in answers) == list(range(2, 61, 2))
        assert [record.stream_version for record in await store.load("acme", "fleet-all")] == list(range(1, 31))
