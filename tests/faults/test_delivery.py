"""A delivery that repeats events and mixes them up changes nothing: not one row, not one command of a saga."""

from collections.abc import Callable
from random import Random

import pytest

from infra.adapters.event_store import EventStore
from infra.engines.feed import Feed
from infra.settings import Settings
from projections.catalog import CATALOG as PROJECTIONS
from sagas.catalog import CATALOG as SAGAS
from tests.faults.in_process import (
    Base,
    FeedFromTheBeginning,
    UnrulyFeed,
    base,
    in_order,
    run_to_rest,
    unruly,
    written_by_sagas,
)
from tests.faults.read_models import differences, made_anew, row_count, tables
from tests.faults.stories import unplaced_story, whole_story, write_down

pytestmark = [pytest.mark.faults, pytest.mark.servers]
SEED = 4


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """No shortcut to Postgres: everything comes by the feed, in small batches."""
    return settings.model_copy(update={"catch_up_lag_events": 1_000_000_000, "consumer_batch_events_max": 100})


def from_unruly_source(store: EventStore, settings: Settings) -> Feed:
    return FeedFromTheBeginning(store, unruly(store, Random(SEED)), settings)


def unruly_feed(store: EventStore, settings: Settings) -> Feed:
    return UnrulyFeed(store, in_order(store), settings)


Delivery = Callable[[EventStore, Settings], Feed]
# What an unruly feed gives is mostly dropped and asked for again: a short story takes it long enough.
DELIVERIES = [(from_unruly_source, 120), (unruly_feed, 20)]


@pytest.mark.parametrize(("delivery", "size"), DELIVERIES)
class TestADuplicatedAndReorderedDelivery:
    async def test_leaves_every_table_as_it_would_be(
        self, database_url: str, settings: Settings, delivery: Delivery, size: int, saw: Callable[[str], None]
    ) -> None:
        async with base(database_url, settings) as on:
            head = await write_down(on.store, whole_story(SEED, size))
            await run_to_rest(on, on.projectors(PROJECTIONS), delivery(on.store, settings))
            found = await tables(database_url)
            assert differences(await made_anew(on.store, database_url, settings), found) == []
        saw(f"{head} events, {row_count(found)} rows as in a clean run, 0 doubled")

    async def test_leads_to_the_same_commands(
        self,
        database_url: str,
        other_database_url: str,
        settings: Settings,
        delivery: Delivery,
        size: int,
        saw: Callable[[str], None],
    ) -> None:
        async with base(database_url, settings) as clean, base(other_database_url, settings) as mixed_up:
            expected = await self._react(clean, size, None)
            found = await self._react(mixed_up, size, delivery)
        assert found == expected
        saw(f"{len(found)} events and timers of sagas as in a clean run, 0 doubled")

    async def _react(self, on: Base, size: int, delivery: Delivery | None) -> list[str]:
        """One saga after the other, so that two runs can be compared position by position."""
        head = await write_down(on.store, unplaced_story(SEED, size))
        for saga in SAGAS:
            feed = delivery(on.store, on.settings) if delivery else None
            await run_to_rest(on, on.runners([saga]), feed)
        return await written_by_sagas(on, head)
