"""Migrations bring a database to the newest schema, each once, whoever else does the same at that moment."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from infra.adapters import migrations as module
from infra.adapters.migrations import Migration, MigrationChanged, migrate, migrations
from infra.embedded.postgres import EmbeddedPostgres

NAMES = [migration.name for migration in migrations()]


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with nothing in it."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE test_empty")
    yield urlsplit(postgres.url)._replace(path="/test_empty").geturl()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE test_empty WITH (FORCE)")


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(query.encode())
        return await cursor.fetchall() if cursor.description else []


class TestTheFiles:
    def test_are_numbered_without_a_gap(self) -> None:
        assert [migration.number for migration in migrations()] == list(range(1, len(NAMES) + 1))

    def test_are_named_after_their_number(self) -> None:
        assert all(name.startswith(f"{number:04d}_") for number, name in enumerate(NAMES, 1))

    def test_say_what_they_are_for(self) -> None:
        assert all(migration.sql.startswith("-- ") for migration in migrations())


class TestARun:
    async def test_applies_what_is_missing_and_nothing_twice(self, empty_url: str) -> None:
        assert await migrate(empty_url) == NAMES
        assert await migrate(empty_url) == []
        assert await rows(empty_url, "SELECT name FROM migration ORDER BY number") == [(name,) for name in NAMES]

    async def test_makes_the_head_and_room_for_the_first_events(self, empty_url: str) -> None:
        await migrate(empty_url, partition_events=100)
        assert await rows(empty_url, "SELECT shard, position FROM log_head") == [(0, 0)]
        assert await rows(empty_url, "SELECT first_position, next_position FROM event_partition") == [(1, 101)]

    async def test_leaves_the_head_where_it_is_and_makes_room_there(self, empty_url: str) -> None:
        await migrate(empty_url, partition_events=100)
        await rows(empty_url, "UPDATE log_head SET position = 250")
        await migrate(empty_url, partition_events=100)
        assert await rows(empty_url, "SELECT position FROM log_head") == [(250,)]
        assert await rows(empty_url, "SELECT max(next_position) FROM event_partition") == [(301,)]

    async def test_may_be_for_another_shard(self, empty_url: str) -> None:
        await migrate(empty_url, shard=7)
        assert await rows(empty_url, "SELECT shard, position FROM log_head") == [(7, 0)]

    async def test_waits_for_others_that_do_the_same(self, empty_url: str) -> None:
        applied = await asyncio.gather(*(migrate(empty_url) for _ in range(6)))
        assert sorted(applied, key=len) == [[], [], [], [], [], NAMES]

    async def test_refuses_a_file_that_was_changed(self, empty_url: str) -> None:
        await migrate(empty_url)
        await rows(empty_url, "UPDATE migration SET checksum = 'another' WHERE number = 2")
        with pytest.raises(MigrationChanged, match=NAMES[1]):
            await migrate(empty_url)

    async def test_leaves_no_half_of_a_file_that_fails(self, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = Migration(len(NAMES) + 1, "0099_broken.sql", "CREATE TABLE half (x int); SELECT 1 / 0;")
        monkeypatch.setattr(module, "migrations", lambda: [*migrations(), broken])
        with pytest.raises(psycopg.errors.DivisionByZero):
            await migrate(empty_url)
        assert await rows(empty_url, "SELECT to_regclass('half')") == [(None,)]
        assert await rows(empty_url, "SELECT count(*) FROM migration") == [(len(NAMES),)]
        monkeypatch.undo()
        assert await migrate(empty_url) == []
