"""Examines a whole system at rest: the log, its mirror, the read models and what was promised to clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg

from infra.adapters.event_stream import StreamGone, StreamUnavailable
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from tests.faults.load import Load
from tests.faults.log_checks import audit, lost
from tests.faults.read_models import differences, made_anew, row_count, tables
from tests.faults.system import BreakableSystem
from tests.infra.relay_world import becomes_equal

REST_S_MAX = 30.0
MIRROR_S_MAX = 30.0
QUIET_ROUNDS = 5
_MOTION = """
SELECT (SELECT position FROM log_head), (SELECT min(position) FROM checkpoint), (SELECT count(*) FROM timer),
    (SELECT count(*) FROM dead_letter)
"""
_TIMED_OUT = "SELECT count(DISTINCT stream_id) FROM event WHERE tenant_id = %s AND type = 'task.timed_out'"


async def at_rest(system: BreakableSystem) -> int:
    """Wait until every consumer has seen everything and no timer is left; gives the head."""
    async with asyncio.timeout(REST_S_MAX):
        quiet, before = 0, -1
        while quiet < QUIET_ROUNDS:
            async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
                row = await (await connection.execute(_MOTION)).fetchone()
            assert row is not None
            head, reached, timers, parked = row
            assert parked == 0, f"{parked} events are parked"
            quiet, before = (quiet + 1 if (head, reached, timers) == (before, head, 0) else 0), head
            await asyncio.sleep(0.1)
    return before


async def examine(system: BreakableSystem, load: Load) -> str:
    """Fail for anything that is not as it must be; gives what was seen, for people."""
    head, url, acknowledged = await at_rest(system), system.database_url, load.answers.acknowledged
    missing, found = await lost(url, acknowledged), await audit(url)
    assert missing == 0
    assert load.answers.changed == []
    assert found.faults == {}
    assert await timed_out(url, load.deadline_tenant) == load.deadlines
    await mirror_is_exact(system)
    store = await PostgresEventStore.open(url, system.settings)
    rows = await tables(url)
    anew = await made_anew(store, url, system.settings)
    await store.close()
    assert differences(anew, rows) == []
    return (
        f"{len(acknowledged)} acknowledged events, {missing} lost, {found.doubled} doubled, {row_count(rows)} rows and a"
        f" mirror of {head} events exact"
    )


@asynccontextmanager
async def log_and_mirror(system: BreakableSystem) -> AsyncIterator[tuple[PostgresEventStore, NatsEventStream]]:
    store = await PostgresEventStore.open(system.database_url, system.settings)
    stream = await NatsEventStream.connect(system.nats_url, system.settings, "examination")
    try:
        yield store, stream
    finally:
        await stream.close()
        await store.close()


async def mirror_is_exact(system: BreakableSystem) -> None:
    """Wait until the mirror is the log, position by position."""
    async with log_and_mirror(system) as (store, stream):
        await becomes_equal(store, stream, MIRROR_S_MAX)


async def mirror_has_all_so_far(system: BreakableSystem) -> None:
    """Wait until the mirror has what is in the log by now, whatever is written meanwhile."""
    async with log_and_mirror(system) as (store, stream), asyncio.timeout(MIRROR_S_MAX):
        head = await store.head()
        while True:
            with suppress(StreamGone, StreamUnavailable):
                if (await stream.state()).last >= head:
                    return
            await asyncio.sleep(0.05)


async def timed_out(database_url: str, tenant_id: str) -> int:
    """How many of the tasks that nobody works on were timed out."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute(_TIMED_OUT, (tenant_id,))).fetchone()
    return int(row[0]) if row else 0
