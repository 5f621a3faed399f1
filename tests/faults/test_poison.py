"""One event in a hundred cannot be handled: it is parked with its cause, what follows in its stream behind it, the rest goes on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from events.agent import AgentUpdated
from events.envelope import Envelope
from infra.adapters.checkpoints import Operations
from infra.adapters.event_store import Record
from infra.patterns.projection import Projection, Row
from infra.patterns.saga import Reaction, Saga
from infra.settings import Settings
from projections.catalog import CATALOG as PROJECTIONS
from sagas.catalog import CATALOG as SAGAS
from tests.faults.in_process import REST_S_MAX, Base, at_rest, base, consuming, letters, run_to_rest, until_letters
from tests.faults.log_checks import audit
from tests.faults.read_models import differences, made_anew, row_count, tables
from tests.faults.stories import TENANTS, Told, more_jobs, unplaced_story, whole_story, write_down

pytestmark = [pytest.mark.faults, pytest.mark.servers]
SEED = 5
POISONOUS_EVERY = 100
BEHIND = "an earlier event of this stream is parked"
JOBS, JOBS_TO_COME = 140, 20


def is_poisonous(position: int) -> bool:
    return position % POISONOUS_EVERY == 37


@dataclass(slots=True)
class Cause:
    """Why poisonous events cannot be handled, until somebody mends it."""

    present: bool = True

    def hit(self, envelope: Envelope[Any]) -> None:
        if self.present and is_poisonous(envelope.position):
            raise ValueError(f"poison at {envelope.position}")

    def in_projection(self, projection: Projection[Any]) -> Projection[Any]:
        def project(envelope: Envelope[Any], row: Row | None) -> Row | None:
            self.hit(envelope)
            return projection.project(envelope, row)

        return replace(projection, project=project)

    def in_saga(self, saga: Saga[Any]) -> Saga[Any]:
        """It breaks down when it has changed its state already."""

        def react(envelope: Envelope[Any], state: Any) -> Sequence[Reaction]:
            reactions = saga.react(envelope, state)
            self.hit(envelope)
            return reactions

        return replace(saga, react=react)


def expected_letters(records: Sequence[Record], types: Mapping[str, frozenset[str]]) -> list[tuple[str, int, str]]:
    """What each consumer, given with the types that it handles, has to park, and why."""
    found: list[tuple[str, int, str]] = []
    for consumer, handled in types.items():
        blocked: set[tuple[str, str]] = set()
        for record in records:
            stream = record.tenant_id, record.stream_id
            if record.type not in handled:
                continue
            if stream in blocked:
                found.append((consumer, record.position, BEHIND))
            elif is_poisonous(record.position):
                blocked.add(stream)
                found.append((consumer, record.position, f"ValueError: poison at {record.position}"))
    return sorted(found)


def types_of(*consumers: Projection[Any] | Saga[Any]) -> Mapping[str, frozenset[str]]:
    return {consumer.name: frozenset(event.type for event in consumer.handles) for consumer in consumers}


def without(projection: Projection[Any], positions: frozenset[int]) -> Projection[Any]:
    """The read model as if these events had never been."""

    def project(envelope: Envelope[Any], row: Row | None) -> Row | None:
        return row if envelope.position in positions else projection.project(envelope, row)

    return replace(projection, project=project)


async def parked(on: Base) -> list[tuple[str, int, str]]:
    return [(consumer, position, cause) for consumer, position, _, _, cause in await letters(on)]


class TestAPoisonousEventOfAProjection:
    async def test_is_parked_and_the_rest_goes_on(
        self, database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        cause = Cause()
        async with base(database_url, settings) as on:
            head = await write_down(on.store, whole_story(SEED, 80))
            handlers = on.projectors([cause.in_projection(projection) for projection in PROJECTIONS])
            await run_to_rest(on, handlers)
            expected = expected_letters(await on.store.read(0, head), types_of(*PROJECTIONS))
            assert await parked(on) == expected
            missed = {
                name: frozenset(at for consumer, at, _ in expected if consumer == name)
                for name in types_of(*PROJECTIONS)
            }
            wanted = [without(projection, missed[projection.name]) for projection in PROJECTIONS]
            found = await tables(database_url)
            assert differences(await made_anew(on.store, database_url, settings, wanted), found) == []
        poisonous = sum(why != BEHIND for _, _, why in expected)
        behind = len(expected) - poisonous
        saw(f"{head} events, {poisonous} poisonous ones parked, {behind} behind them, {row_count(found)} rows exact")

    async def test_takes_effect_when_it_is_retried_after_the_cause_is_gone(
        self, database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        cause, operations = Cause(), Operations(database_url)
        async with base(database_url, settings) as on:
            await write_down(on.store, whole_story(SEED, 80))
            handlers = on.projectors([cause.in_projection(projection) for projection in PROJECTIONS])
            async with consuming(on, handlers) as consumers:
                await at_rest(on, consumers)
                before = await parked(on)
                for projection in PROJECTIONS:
                    await operations.retry_dead_letters(projection.name)
                await at_rest(on, consumers)
                assert await parked(on) == before
                cause.present = False
                for projection in PROJECTIONS:
                    await operations.retry_dead_letters(projection.name)
                await until_letters(on, 0)
            found = await tables(database_url)
            assert differences(await made_anew(on.store, database_url, settings), found) == []
        saw(
            f"{len(before)} parked events retried in vain, then with success; {row_count(found)} rows as in a clean run"
        )

    async def test_is_forgotten_when_it_is_discarded(
        self, database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        cause, operations = Cause(), Operations(database_url)
        story = whole_story(SEED, 40)
        async with base(database_url, settings) as on:
            await write_down(on.store, story)
            handlers = on.projectors([cause.in_projection(PROJECTIONS[0])])
            async with consuming(on, handlers) as consumers:
                await at_rest(on, consumers)
                before = await letters(on)
                tenant_id, stream_id = before[0][2:4]
                discarded = [letter for letter in before if letter[2:4] == (tenant_id, stream_id)]
                await operations.discard_dead_letters(PROJECTIONS[0].name, stream_id)
                await until_letters(on, len([letter for letter in before if letter[3] != stream_id]))
                await self._append_another(on, story, tenant_id, stream_id)
                await at_rest(on, consumers)
                assert not [letter for letter in await letters(on) if letter[2:4] == (tenant_id, stream_id)]
            rows = (await tables(database_url))[PROJECTIONS[0].name]
        assert any('"A name after that"' in row for row in rows)
        saw(f"{len(discarded)} of {len(before)} parked events discarded, their stream goes on")

    async def _append_another(self, on: Base, story: list[Told], tenant_id: str, stream_id: str) -> None:
        version = sum((told.tenant_id, told.stream_id) == (tenant_id, stream_id) for told in story)
        told = Told(tenant_id, stream_id, AgentUpdated(name="A name after that"), b"\1" * 16)
        await write_down(on.store, [told], {(tenant_id, stream_id): version})


class TestARebuildWithPoisonousEvents:
    async def test_parks_them_and_gives_what_the_events_gave_that_came_one_by_one(
        self, database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        cause, operations = Cause(), Operations(database_url)
        async with base(database_url, settings) as on:
            await write_down(on.store, whole_story(SEED, 80))
            handlers = on.projectors([cause.in_projection(projection) for projection in PROJECTIONS])
            async with consuming(on, handlers) as consumers:
                await at_rest(on, consumers)
                rows, before = await tables(database_url), await parked(on)
                for projection in PROJECTIONS:
                    await operations.request_rebuild(projection.name)
                await self._until_rebuilt(operations)
                await at_rest(on, consumers)
                assert await parked(on) == before
                assert differences(rows, await tables(database_url)) == []
        saw(f"{len(before)} events parked in the rebuild as before, {row_count(rows)} rows the same")

    async def _until_rebuilt(self, operations: Operations) -> None:
        async with asyncio.timeout(REST_S_MAX):
            while any(consumer.rebuild for consumer in await operations.list_consumers()):
                await asyncio.sleep(0.05)


class TestAPoisonousEventOfASaga:
    async def test_takes_effect_once_when_it_is_retried_whatever_restarts_in_between(
        self, database_url: str, settings: Settings, saw: Callable[[str], None]
    ) -> None:
        cause, operations = Cause(), Operations(database_url)
        settings = settings.model_copy(update={"saga_snapshot_events": 200})
        async with base(database_url, settings) as on:
            await write_down(on.store, unplaced_story(SEED, JOBS, jobs_to_come=JOBS_TO_COME))
            poisoned = [cause.in_saga(saga) for saga in SAGAS]
            await run_to_rest(on, on.runners(poisoned))
            cause.present = False
            before = await letters(on)
            head = await run_to_rest(on, on.runners(poisoned))
            assert await letters(on) == before, "a restart alone changes nothing"
            assert await on.store.head() == head
            async with consuming(on, on.runners(poisoned)) as consumers:
                await self._retry_until_none_is_left(on, operations)
                await at_rest(on, consumers)
            await write_down(on.store, more_jobs(SEED, JOBS_TO_COME))
            await run_to_rest(on, on.runners(SAGAS))
            found = await audit(database_url)
        poisonous = sum(letter[4] != BEHIND for letter in before)
        jobs = (JOBS + JOBS_TO_COME) * len(TENANTS)
        assert (found.attempts_assigned, found.attempts_assigned_twice, found.over_capacity) == (jobs, 0, 0)
        assert (found.tasks_assigned, found.tasks_assigned_twice) == (JOBS * len(TENANTS), 0)
        assert found.timers == JOBS * len(TENANTS)
        saw(
            f"{len(before)} events parked for {poisonous} poisonous ones; after the retry {jobs} jobs placed once, 0 twice"
        )

    async def _retry_until_none_is_left(self, on: Base, operations: Operations) -> None:
        for saga in SAGAS:
            await operations.retry_dead_letters(saga.name)
        await until_letters(on, 0)
