"""The Postgres store keeps its promises whatever its database is set to."""

import asyncio

import psycopg
import pytest

from infra.settings import Settings
from tests.contract.line import NOW, one, opened

pytestmark = pytest.mark.servers


async def set_to(database_url: str, name: str, value: str, *, needed: str) -> None:
    """What every new session of the database begins with, and which value a session `needed` to write to the log."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        row = await (await connection.execute("SELECT current_database()")).fetchone()
        assert row is not None
        await connection.execute(f"ALTER DATABASE {row[0]} SET {name} = '{value}'".encode())
        await connection.execute(f"ALTER TABLE stream ADD CHECK (current_setting('{name}') = '{needed}')".encode())


class TestAnotherTimeZone:
    async def test_is_not_seen(self, database_url: str, settings: Settings) -> None:
        await set_to(database_url, "timezone", "Asia/Kolkata", needed="Asia/Kolkata")
        async with opened(database_url, settings) as store:
            await store.append(one("thing-1"))
            (record,) = await store.read(0, 10)
            assert record.occurred_at.isoformat() == NOW.isoformat()


class TestADatabaseThatDoesNotWaitForItsDisk:
    async def test_waits_for_it_with_what_is_acknowledged(self, database_url: str, settings: Settings) -> None:
        await set_to(database_url, "synchronous_commit", "off", needed="on")
        async with opened(database_url, settings) as store:
            assert (await store.append(one("thing-1"))).position == 1

    async def test_may_wait_for_more(self, database_url: str, settings: Settings) -> None:
        await set_to(database_url, "synchronous_commit", "remote_apply", needed="remote_apply")
        async with opened(database_url, settings) as store:
            assert (await store.append(one("thing-1"))).position == 1


class TestAStricterIsolation:
    async def test_costs_no_append(self, database_url: str, settings: Settings) -> None:
        await set_to(database_url, "default_transaction_isolation", "serializable", needed="read committed")
        async with opened(database_url, settings) as store, opened(database_url, settings) as another:
            for number in range(20):
                await asyncio.gather(*(each.append(one(f"{id(each)}-{number}")) for each in (store, another)))
            assert await store.head() == 40
