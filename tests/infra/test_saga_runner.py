"""The saga runner: each reaction takes effect once, and its state is what the log makes of it, however often it begins again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from events.envelope import Envelope, Origin
from infra.adapters.checkpoints import BEHIND_PARKED, Effect, Operations
from infra.adapters.event_store import Record
from infra.engines.command_bus import CommandBus
from infra.engines.saga_runner import SagaRunner
from infra.patterns.decider import Command, Decider, DeciderCatalog
from infra.patterns.saga import Reaction, Saga
from infra.settings import Settings
from tests.infra.box_consumers import EMPTY_BOXES, Cause, Contents, react
from tests.infra.boxes import BOX, DECIDERS, EVENTS, EmptyBox, FillBox, MakeBox, origin
from tests.infra.consuming import Connection, Place, opened, until, until_so

NAME = EMPTY_BOXES.name


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


def bus_of(place: Place, deciders: DeciderCatalog = DECIDERS) -> CommandBus:
    return CommandBus(place.store, deciders, EVENTS, place.settings)


async def carry_out(place: Place, *commands: Command, tenant_id: str = "acme") -> None:
    requests = [(command, origin(tenant_id=tenant_id), False) for command in commands]
    for answer in await bus_of(place).execute_many(requests):
        assert not isinstance(answer, Exception)


def runner(place: Place, saga: Saga[Contents] = EMPTY_BOXES, bus: CommandBus | None = None) -> SagaRunner:
    return SagaRunner(saga, place.store, bus or bus_of(place), EVENTS, place.settings)


async def to_rest(place: Place, *handlers: SagaRunner) -> None:
    """Run until the saga has seen the log and what it has added itself."""
    async with place.running(*handlers) as consumers:
        before = -1
        while (head := await place.store.head()) != before:
            before = head
            await place.seen(consumers, head)


async def types(place: Place) -> list[str]:
    return [record.type.removeprefix("box.") for record in await place.store.read(0, 1_000)]


def state_of(handler: SagaRunner, tenant_id: str = "acme") -> Contents:
    state: Contents = handler._states[tenant_id]
    return state


async def folded_anew(place: Place, saga: Saga[Contents] = EMPTY_BOXES) -> Contents:
    """The state that a restart would begin with."""
    fresh = runner(place, saga)
    async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as connection:
        row = await (await connection.execute("SELECT position FROM checkpoint")).fetchone()
        assert row is not None
        await fresh.begin(connection, row[0])
    return state_of(fresh)


class Crashing(SagaRunner):
    """Is cut off after its commands were sent and before its checkpoint, as often as it is told."""

    crashes = 2

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        effects = await super().effects(connection, records, position)
        if self.crashes:
            self.crashes -= 1
            raise psycopg.OperationalError("crash")
        return effects


class TestAReaction:
    async def test_is_sent_as_a_command_that_says_where_it_comes_from(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a", size=2), FillBox(box_id="a", amount=2))
        await to_rest(place, runner(place))
        *_, filled, emptied = await place.store.read(0, 10)
        sent = Origin.from_json("acme", emptied.metadata)
        cause = Origin.from_json("acme", filled.metadata)
        assert emptied.type == "box.emptied"
        assert (sent.actor, sent.command_id) == (f"saga:{NAME}", f"{filled.id}/{NAME}/0")
        assert (sent.causation_id, sent.correlation_id) == (filled.id, cause.correlation_id)

    async def test_takes_effect_once_when_it_is_cut_off_before_the_checkpoint(self, place: Place) -> None:
        for box_id in "abc":
            await carry_out(place, MakeBox(box_id=box_id, size=1, label="later"), FillBox(box_id=box_id))
        handler = Crashing(EMPTY_BOXES, place.store, bus_of(place), EVENTS, place.settings)
        await to_rest(place, handler)
        assert (await types(place)).count("emptied") == 3
        assert len(await place.rows("SELECT 1 FROM timer")) == 3
        assert state_of(handler).seen == list(range(1, 10))

    async def test_takes_effect_once_when_two_run_at_once(self, place: Place) -> None:
        first, second = runner(place), runner(place)
        async with place.running(first, second):
            for number in range(20):
                await carry_out(place, MakeBox(box_id=f"{number}", size=1), FillBox(box_id=f"{number}"))

            async def all_emptied() -> bool:
                return (await types(place)).count("emptied") == 20

            await until_so(all_emptied)
        await to_rest(place, runner(place))
        assert (await types(place)).count("emptied") == 20

    async def test_that_is_refused_is_dropped(self, place: Place) -> None:
        def overfill(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
            state.seen.append(envelope.position)
            return [FillBox(box_id="nowhere"), FillBox(box_id="a")] if envelope.position == 1 else []

        await carry_out(place, MakeBox(box_id="a"))
        await to_rest(place, runner(place, replace(EMPTY_BOXES, react=overfill)))
        assert (await types(place), await place.letters()) == (["made", "filled"], [])

    async def test_that_breaks_down_parks_its_event(self, place: Place) -> None:
        def decide(command: Command, state: Any, others: Any) -> Any:
            if isinstance(command, EmptyBox) and command.box_id == "a":
                raise KeyError("a mistake in a decider")
            return BOX.decide(command, state, others)

        broken = DeciderCatalog(
            Decider("box", BOX.commands, BOX.initial, decide, BOX.evolve, BOX.companions, BOX.consults)
        )
        for box_id in "ab":
            await carry_out(place, MakeBox(box_id=box_id, size=1), FillBox(box_id=box_id))
        await to_rest(place, runner(place, bus=bus_of(place, broken)))
        assert await types(place) == ["made", "filled", "made", "filled", "emptied"]
        assert await place.letters() == [(2, "KeyError: 'a mistake in a decider'")]

    async def test_is_sent_again_until_the_store_is_there(self, place: Place) -> None:
        tight = CommandBus(place.store, DECIDERS, EVENTS, place.settings)
        fails = iter(range(3))
        execute_many = tight.execute_many

        async def away(requests: Any) -> Any:
            if next(fails, None) is not None:
                raise psycopg.OperationalError("away")
            return await execute_many(requests)

        tight.execute_many = away  # type: ignore[method-assign]  # a store that is away for a while
        await carry_out(place, MakeBox(box_id="a", size=1), FillBox(box_id="a"))
        await to_rest(place, runner(place, bus=tight))
        assert await types(place) == ["made", "filled", "emptied"]


class TestTheState:
    async def story(self, place: Place) -> None:
        """Boxes whose names are not in the order in which they come."""
        for box_id in ("long-name", "b", "a", "middle", "z"):
            await carry_out(place, MakeBox(box_id=box_id, size=3), FillBox(box_id=box_id), FillBox(box_id=box_id))
        await carry_out(place, FillBox(box_id="a"), FillBox(box_id="z"))

    @pytest.mark.parametrize("snapshot_events", [1, 4, 1_000])
    async def test_is_the_same_from_a_snapshot_and_the_events_after_it(
        self, place: Place, snapshot_events: int
    ) -> None:
        place.settings = place.settings.model_copy(
            update={"saga_snapshot_events": snapshot_events, "consumer_batch_events_max": 3}
        )
        await self.story(place)
        handler = runner(place)
        await to_rest(place, handler)
        again = await folded_anew(place)
        assert again == state_of(handler)
        assert list(again.contents) == list(state_of(handler).contents) == ["long-name", "b", "a", "middle", "z"]
        assert again.seen == list(range(1, 20))

    async def test_is_kept_for_each_tenant(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a", size=1))
        await carry_out(place, MakeBox(box_id="a", size=2), FillBox(box_id="a"), tenant_id="other")
        handler = runner(place)
        await to_rest(place, handler)
        assert (state_of(handler).contents, state_of(handler, "other").contents) == ({"a": 0}, {"a": 1})
        assert (await types(place)).count("emptied") == 0

    async def test_is_folded_from_the_whole_log_for_a_new_version(self, place: Place) -> None:
        place.settings = place.settings.model_copy(update={"saga_snapshot_events": 1})
        await self.story(place)
        await to_rest(place, runner(place))
        before = await types(place)

        def counting(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
            state.sizes["events"] = state.sizes.get("events", 0) + 1
            return react(envelope, state)

        newer = replace(EMPTY_BOXES, version=2, react=counting)
        handler = runner(place, newer)
        async with place.running(handler):
            await until(lambda: bool(handler._states) and state_of(handler).sizes.get("events") == 19)
        assert await types(place) == before, "what was sent is not sent again"


class TestAPoisonousEvent:
    async def parked(self, place: Place, cause: Cause) -> SagaRunner:
        """Position 2 fills box a and cannot be handled; 3 fills it up behind; box b goes on."""
        await carry_out(place, MakeBox(box_id="a", size=2), FillBox(box_id="a"), FillBox(box_id="a"))
        await carry_out(place, MakeBox(box_id="b", size=1), FillBox(box_id="b"))
        handler = runner(place, cause.in_saga())
        await to_rest(place, handler)
        assert await place.letters() == [(2, "ValueError: poison at 2"), (3, BEHIND_PARKED)]
        assert await types(place) == ["made", "filled", "filled", "made", "filled", "emptied"]
        return handler

    @pytest.mark.parametrize("snapshot_events", [1, 1_000])
    async def test_leaves_no_trace_in_the_state(self, place: Place, snapshot_events: int) -> None:
        place.settings = place.settings.model_copy(update={"saga_snapshot_events": snapshot_events})
        cause = Cause(2)
        handler = await self.parked(place, cause)
        assert state_of(handler).seen == [1, 4, 5, 6]
        assert state_of(handler).contents == {"a": 0, "b": 0}
        cause.positions.clear()
        assert await folded_anew(place, cause.in_saga()) == state_of(handler)

    @pytest.mark.parametrize("snapshot_events", [1, 1_000])
    async def test_takes_effect_when_it_is_retried_and_the_fold_agrees(
        self, place: Place, snapshot_events: int
    ) -> None:
        place.settings = place.settings.model_copy(update={"saga_snapshot_events": snapshot_events})
        cause = Cause(2)
        await self.parked(place, cause)
        cause.positions.clear()
        handler = runner(place, cause.in_saga())
        async with place.running(handler):
            await Operations(place.url).retry_dead_letters(NAME)
            await place.no_letters()
        await to_rest(place, handler)
        assert (await types(place))[-1:] == ["emptied"]
        assert state_of(handler).seen == [1, 4, 5, 6, 2, 3, 7]
        assert await folded_anew(place) == state_of(handler)
        await to_rest(place, runner(place))
        assert (await types(place)).count("emptied") == 2

    @pytest.mark.parametrize("snapshot_events", [1, 1_000])
    async def test_is_forgotten_when_it_is_discarded_and_the_fold_agrees(
        self, place: Place, snapshot_events: int
    ) -> None:
        place.settings = place.settings.model_copy(update={"saga_snapshot_events": snapshot_events})
        cause = Cause(2)
        await self.parked(place, cause)
        handler = runner(place, cause.in_saga())
        async with place.running(handler) as consumers:
            await Operations(place.url).discard_dead_letters(NAME, "box-a")
            await place.no_letters()
            await carry_out(place, EmptyBox(box_id="a"), FillBox(box_id="a"))
            await place.seen(consumers, 8)
        assert state_of(handler).seen == [1, 4, 5, 6, 7, 8]
        cause.positions.clear()
        assert await folded_anew(place, cause.in_saga()) == state_of(handler)

    async def test_stays_parked_through_a_new_version(self, place: Place) -> None:
        cause = Cause(2)
        await self.parked(place, cause)
        cause.positions.clear()
        handler = runner(place, cause.in_saga(version=2))
        async with place.running(handler):

            async def there() -> bool:
                return await place.rows("SELECT 1 FROM checkpoint WHERE version = 2") == [(1,)]

            await until_so(there)
            await until(lambda: bool(handler._states) and state_of(handler).seen == [1, 4, 5, 6])
            assert [position for position, _ in await place.letters()] == [2, 3]
            await Operations(place.url).retry_dead_letters(NAME)
            await place.no_letters()
        await to_rest(place, handler)
        assert (await types(place)).count("emptied") == 2

    async def test_does_no_harm_to_a_retry_that_is_cut_off(self, place: Place) -> None:
        cause = Cause(2)
        await self.parked(place, cause)
        cause.positions.clear()
        handler = Crashing(cause.in_saga(), place.store, bus_of(place), EVENTS, place.settings)
        await Operations(place.url).retry_dead_letters(NAME)
        async with place.running(handler):
            await place.no_letters()
        await to_rest(place, runner(place))
        await asyncio.sleep(0)
        assert (await types(place)).count("emptied") == 2
        assert sorted((await folded_anew(place)).seen) == [1, 2, 3, 4, 5, 6, 7]
