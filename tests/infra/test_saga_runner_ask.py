"""An Ask: a command, or what is sent instead if it is refused; one of the two takes effect, once."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from events.envelope import Envelope, Origin
from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import Record
from infra.engines.command_bus import CommandBus
from infra.engines.saga_runner import SagaRunner
from infra.patterns.decider import Command
from infra.patterns.saga import Ask, Reaction, Saga
from infra.settings import Settings
from tests.infra.box_consumers import EMPTY_BOXES, Contents
from tests.infra.boxes import DECIDERS, EVENTS, FillBox, MakeBox, origin
from tests.infra.consuming import Connection, Place, opened

NAME = EMPTY_BOXES.name


@pytest.fixture
async def place(database_url: str, settings: Settings) -> AsyncIterator[Place]:
    async with opened(database_url, settings) as place:
        yield place


def refused_as_label(code: str, message: str) -> Command:
    return MakeBox(box_id="refusal", label=f"{code}: {message}")


def broken(code: str, message: str) -> Command:
    raise ValueError("a mistake in a saga")


def asking(*reactions: Reaction, at: int = 1) -> Saga[Contents]:
    """Asks for this when it sees the event of a position."""

    def react(envelope: Envelope[Any], state: Contents) -> Sequence[Reaction]:
        return reactions if envelope.position == at else []

    return replace(EMPTY_BOXES, react=react)


def bus_of(place: Place) -> CommandBus:
    return CommandBus(place.store, DECIDERS, EVENTS, place.settings)


async def carry_out(place: Place, *commands: Command) -> None:
    for answer in await bus_of(place).execute_many([(command, origin(), False) for command in commands]):
        assert not isinstance(answer, Exception)


async def records(place: Place) -> list[Record]:
    return await place.store.read(0, 1_000)


async def made(place: Place) -> list[str]:
    return [f"{record.stream_id} {record.type}" for record in await records(place)]


class CutOff(SagaRunner):
    """Is cut off once, after its commands were sent and before its checkpoint; `meanwhile` happens before it begins again."""

    meanwhile: Sequence[Command] = ()
    cut = False

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        effects = await super().effects(connection, records, position)
        if not self.cut:
            self.cut = True
            await self._bus.execute_many([(command, origin(), False) for command in self.meanwhile])
            raise psycopg.OperationalError("crash")
        return effects


def cut_off(place: Place, saga: Saga[Contents], *meanwhile: Command) -> CutOff:
    runner = CutOff(saga, place.store, bus_of(place), EVENTS, place.settings)
    runner.meanwhile = meanwhile
    return runner


def whole(place: Place, saga: Saga[Contents]) -> SagaRunner:
    return SagaRunner(saga, place.store, bus_of(place), EVENTS, place.settings)


class TestAnAsk:
    async def test_that_is_accepted_is_as_its_command(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        await place.run(whole(place, asking(Ask(FillBox(box_id="a"), refused_as_label))))
        assert await made(place) == ["box-a box.made", "box-a box.filled"]

    async def test_that_is_refused_sends_the_other_under_an_id_of_its_own(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        await place.run(whole(place, asking(Ask(FillBox(box_id="b"), refused_as_label))))
        first, told = await records(place)
        sent = Origin.from_json("acme", told.metadata)
        data = told.data.decode() if isinstance(told.data, bytes) else str(told.data)
        assert (told.stream_id, "no-such-box: There is no such box." in data) == ("box-refusal", True)
        assert (sent.command_id, sent.causation_id) == (f"{first.id}/{NAME}/0/refused", first.id)

    async def test_whose_refusal_is_refused_too_is_dropped(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        saga = asking(Ask(FillBox(box_id="b"), lambda code, message: FillBox(box_id="c")), FillBox(box_id="a"))
        await place.run(whole(place, saga))
        assert (await made(place), await place.letters()) == (["box-a box.made", "box-a box.filled"], [])

    async def test_whose_refusal_breaks_down_parks_its_event(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        await place.run(whole(place, asking(Ask(FillBox(box_id="b"), broken))))
        assert await place.letters() == [(1, "ValueError: a mistake in a saga")]


class TestAnAskThatWasCutOff:
    async def test_stays_accepted_although_it_would_be_refused_now(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a", size=1))
        await place.run(cut_off(place, asking(Ask(FillBox(box_id="a"), refused_as_label))))
        assert await made(place) == ["box-a box.made", "box-a box.filled"]

    async def test_is_refused_once(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        await place.run(cut_off(place, asking(Ask(FillBox(box_id="b"), refused_as_label))))
        assert await made(place) == ["box-a box.made", "box-refusal box.made"]

    async def test_stays_refused_although_it_would_be_accepted_now(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        saga = asking(Ask(FillBox(box_id="b"), refused_as_label))
        await place.run(cut_off(place, saga, MakeBox(box_id="b")))
        assert await made(place) == ["box-a box.made", "box-refusal box.made", "box-b box.made"]

    async def test_stays_refused_for_the_runner_that_takes_over(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        saga = asking(Ask(FillBox(box_id="b"), refused_as_label))
        first = whole(place, saga)
        async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as connection:
            await first.begin(connection, 0)
            await first.effects(connection, await records(place), 1)
        await carry_out(place, MakeBox(box_id="b"))
        await place.run(whole(place, saga))
        assert await made(place) == ["box-a box.made", "box-refusal box.made", "box-b box.made"]

    async def test_that_nobody_was_told_of_is_decided_anew(self, place: Place) -> None:
        await carry_out(place, MakeBox(box_id="a"))
        saga = asking(Ask(FillBox(box_id="b"), lambda code, message: FillBox(box_id="nowhere")))
        await place.run(cut_off(place, saga, MakeBox(box_id="b")))
        assert await made(place) == ["box-a box.made", "box-b box.made", "box-b box.filled"]
