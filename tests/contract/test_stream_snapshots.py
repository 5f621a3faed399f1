"""The contract of the event store for states that are kept of long streams, held by the one in memory and by the one on Postgres."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.adapters.event_store import EventStore, Snapshot
from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.postgres_store import PostgresEventStore
from infra.settings import Settings

KEY = ("acme", "thing-1")
STATE = '{"text": "grüße \\u0000 ☃", "big": 9007199254740993, "b": 1, "a": [1, 1.0]}'.encode()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else str(request.getfixturevalue("database_url"))


@pytest.fixture
async def store(place: str | None, settings: Settings) -> AsyncIterator[EventStore]:
    store = MemoryEventStore() if place is None else await PostgresEventStore.open(place, settings)
    yield store
    await store.close()


class TestAStreamsState:
    async def test_is_not_there_before_one_was_kept(self, store: EventStore) -> None:
        assert await store.snapshot(*KEY) is None

    async def test_is_given_back_as_it_was_kept(self, store: EventStore) -> None:
        await store.keep_snapshot(*KEY, Snapshot(3, 1_000, STATE))
        assert await store.snapshot(*KEY) == Snapshot(3, 1_000, STATE)

    @pytest.mark.parametrize("versions", [(500, 1_000), (1_000, 500), (1_000, 1_000)])
    async def test_is_that_of_the_newest_version(self, store: EventStore, versions: tuple[int, int]) -> None:
        for version in versions:
            await store.keep_snapshot(*KEY, Snapshot(1, version, b'{"version":%d}' % version))
        assert await store.snapshot(*KEY) == Snapshot(1, 1_000, b'{"version":1000}')

    @pytest.mark.parametrize("version", [500, 1_000, 1_500])
    async def test_is_replaced_by_one_of_a_newer_form(self, store: EventStore, version: int) -> None:
        await store.keep_snapshot(*KEY, Snapshot(1, 1_000, b'{"form":1}'))
        await store.keep_snapshot(*KEY, Snapshot(2, version, b'{"form":2}'))
        assert await store.snapshot(*KEY) == Snapshot(2, version, b'{"form":2}')

    async def test_is_replaced_by_one_of_an_older_form_only_if_its_version_is_newer(self, store: EventStore) -> None:
        await store.keep_snapshot(*KEY, Snapshot(2, 1_000, b'{"form":2}'))
        for version in (500, 1_000):
            await store.keep_snapshot(*KEY, Snapshot(1, version, b'{"form":1}'))
            assert await store.snapshot(*KEY) == Snapshot(2, 1_000, b'{"form":2}')
        await store.keep_snapshot(*KEY, Snapshot(1, 1_500, b'{"form":1}'))
        assert await store.snapshot(*KEY) == Snapshot(1, 1_500, b'{"form":1}')

    async def test_is_seen_by_its_tenant_alone(self, store: EventStore) -> None:
        await store.keep_snapshot("acme", "thing-1", Snapshot(1, 500, b'{"of":"acme"}'))
        assert await store.snapshot("other", "thing-1") is None
        await store.keep_snapshot("other", "thing-1", Snapshot(1, 1_000, b'{"of":"other"}'))
        assert await store.snapshot("acme", "thing-1") == Snapshot(1, 500, b'{"of":"acme"}')

    async def test_is_found_among_many_that_are_asked_for_at_once(self, store: EventStore) -> None:
        for number in range(1, 21, 2):
            await store.keep_snapshot("acme", f"thing-{number}", Snapshot(1, number, b'{"n":%d}' % number))
        found = await asyncio.gather(*(store.snapshot("acme", f"thing-{number}") for number in [*range(20), 3]))
        assert [kept and kept.version for kept in found] == [n if n % 2 else None for n in [*range(20), 3]]
