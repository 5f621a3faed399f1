"""Postgres plans what the store asks again and again a few times, and then no more."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.adapters.postgres_store import PostgresEventStore
from infra.settings import Settings
from tests.contract.line import one, opened

pytestmark = pytest.mark.servers


@pytest.fixture
async def store(database_url: str, settings: Settings) -> AsyncIterator[PostgresEventStore]:
    async with opened(database_url, settings) as store:
        yield store


class TestPlans:
    async def test_of_loading_streams_are_kept(self, store: PostgresEventStore) -> None:
        await asyncio.gather(*(store.append(one(f"thing-{number}")) for number in range(9)))
        for size in (1, 9, 3) * 7:
            await asyncio.gather(*(store.load("acme", f"thing-{number}") for number in range(size)))
        async with store._pool.connection() as connection:
            plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%unnest%'"
            ((kept, anew),) = await (await connection.execute(plans)).fetchall()
        assert (kept + anew, anew) == (20, 5)  # the first is not prepared yet

    async def test_of_an_append_are_kept(self, store: PostgresEventStore) -> None:
        await store.append(one("thing-1"))
        connection = store._appender._connection._connection
        assert connection is not None
        assert await (await connection.execute("SHOW plan_cache_mode")).fetchone() == ("force_generic_plan",)
