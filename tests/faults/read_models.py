"""The tables of the read models: read whole, and made anew from the log alone to compare."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from events.catalog import CATALOG as EVENTS
from infra.adapters.event_store import EventStore
from infra.engines.projector import Projector
from infra.patterns.projection import Projection
from infra.settings import Settings
from projections.catalog import CATALOG

DIFFERENCES_SHOWN_MAX = 3

Tables = Mapping[str, list[str]]
"""The rows of each read model as JSON text, in order."""


async def tables(database_url: str, schema: str = "public") -> Tables:
    """Every row of every read model; a model that nobody has made yet has none."""
    found: dict[str, list[str]] = {}
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for projection in CATALOG:
            name = f'"{schema}"."{projection.name}"'
            there = await (await connection.execute("SELECT to_regclass(%s)", (name,))).fetchone()
            if there is None or there[0] is None:
                found[projection.name] = []
                continue
            query = f"SELECT to_jsonb(t)::text FROM {name} t ORDER BY 1"
            found[projection.name] = [row for (row,) in await (await connection.execute(query.encode())).fetchall()]
    return found


async def made_anew(
    store: EventStore, database_url: str, settings: Settings, projections: Sequence[Projection[Any]] = CATALOG
) -> Tables:
    """What projectors make of the whole log when nothing disturbs them, in a schema of its own that is dropped again."""
    schema = "made_anew"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}".encode())
        await connection.execute(f"SET search_path TO {schema}".encode())
        head = await store.head()
        for projection in projections:
            await Projector(projection, store, EVENTS, settings).rebuild(connection, head)
        found = await tables(database_url, schema)
        await connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    return found


def differences(expected: Tables, found: Tables) -> list[str]:
    """The rows that one of them has and the other has not, a few of them in words."""
    lines: list[str] = []
    for name, rows in expected.items():
        missing, surplus = set(rows) - set(found[name]), set(found[name]) - set(rows)
        if missing or surplus or len(rows) != len(found[name]):
            lines.append(f"{name}: {len(rows)} rows expected, {len(found[name])} found")
            lines += [f"  missing {row}" for row in sorted(missing)[:DIFFERENCES_SHOWN_MAX]]
            lines += [f"  surplus {row}" for row in sorted(surplus)[:DIFFERENCES_SHOWN_MAX]]
    return lines


def row_count(found: Tables) -> int:
    return sum(len(rows) for rows in found.values())
