"""Figures of the relay and of a projector: live through JetStream, and in a rebuild from the log."""

import asyncio
import time
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry

from events.catalog import CATALOG as EVENTS
from events.task import TaskUsageRecorded
from infra.adapters.checkpoints import Operations
from infra.adapters.event_store import Append, NewEvent, Write
from infra.adapters.lease import PostgresLease
from infra.adapters.migrations import migrate
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed
from infra.engines.mirror import mirror_source
from infra.engines.projector import Projector
from infra.engines.relay import Relay
from infra.ids import new_uuid7, utc_now
from infra.settings import Settings
from projections.task_board import TASK_BOARD
from tests.bench.figures import Figure
from tests.bench.in_process import fresh_database

EVENTS_IN_LOG = 200_000
EVENTS_PER_STREAM = 100
METADATA = b'{"actor":"bench","command_id":"b","correlation_id":"b","causation_id":"b"}'


async def fill(store: PostgresEventStore) -> None:
    """Task streams of 100 usage events each."""
    data = EVENTS.encode(TaskUsageRecorded(model="gpt-4o", tokens_in=100, tokens_out=20))
    kind = TaskUsageRecorded
    requested = b'{"agent_id":"a","title":"work","input":null}'

    def append(stream: int) -> Append:
        first = NewEvent("task.requested", 1, requested, new_uuid7())
        rest = [NewEvent(kind.type, kind.version, data, new_uuid7()) for _ in range(EVENTS_PER_STREAM - 1)]
        return Append("bench", (Write(f"task-{stream}", 0, (first, *rest)),), utc_now(), METADATA)

    streams = EVENTS_IN_LOG // EVENTS_PER_STREAM
    for start in range(0, streams, 100):
        await asyncio.gather(*(store.append(append(n)) for n in range(start, min(start + 100, streams))))


async def relay_rate(store: PostgresEventStore, stream: NatsEventStream, url: str, settings: Settings) -> float:
    """Events a second from the log onto an empty mirror, until its last one is acknowledged."""
    lease = PostgresLease(url, "bench-relay")
    relay = Relay(store, stream, settings, lease, CollectorRegistry())
    head = await store.head()
    running = asyncio.create_task(relay.run())
    while relay.position == 0:
        await asyncio.sleep(0.001)
    begun, from_position = time.perf_counter(), relay.position
    while relay.position < head:
        await asyncio.sleep(0.001)
    rate = (head - from_position) / (time.perf_counter() - begun)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return rate


async def projector_rate(
    store: PostgresEventStore, stream: NatsEventStream, url: str, settings: Settings
) -> tuple[float, float]:
    """Events a second of the task board: live through JetStream, and in a rebuild."""
    live = settings.model_copy(
        update={"catch_up_lag_events": EVENTS_IN_LOG * 2, "live_buffer_events_max": EVENTS_IN_LOG}
    )
    feed = Feed(store, mirror_source(stream, "bench"), live)
    head, positions = await store.head(), {"task_board": 0}

    def announce(name: str, position: int) -> None:
        positions[name] = position

    projector = Projector(TASK_BOARD, store, EVENTS, live)
    consumer = Consumer(projector, store, feed, url, live, announce)
    begun = time.perf_counter()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(feed.run(start=0)), asyncio.create_task(consumer.run())]
    while positions["task_board"] < head:
        await asyncio.sleep(0.005)
    live_rate = head / (time.perf_counter() - begun)
    positions["task_board"] = 0
    await Operations(url).request_rebuild("task_board")
    begun = 0.0
    while positions["task_board"] < head:
        if not begun and consumer.rebuilding:
            begun = time.perf_counter()
        await asyncio.sleep(0.001)
    rebuild_rate = head / (time.perf_counter() - begun)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return live_rate, rebuild_rate


async def pipeline_figures(server_url: str, nats_url: str) -> list[Figure]:
    url = await fresh_database(server_url, "bench_pipeline")
    settings = Settings(shard=0)
    await migrate(url)
    store = await PostgresEventStore.open(url, settings)
    stream = await NatsEventStream.connect(nats_url, settings, "bench")
    await stream.recreate(1)
    begun = time.perf_counter()
    await fill(store)
    batches = EVENTS_IN_LOG / (time.perf_counter() - begun)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("ANALYZE")
    relayed = await relay_rate(store, stream, url, settings)
    live, rebuilt = await projector_rate(store, stream, url, settings)
    await stream.close()
    await store.close()
    return [
        Figure("events appended in appends of 100", batches, "events/s"),
        Figure("relay, log to JetStream (fsync always)", relayed, "events/s", 30_000),
        Figure("projector, live through JetStream", live, "events/s", 10_000),
        Figure("projector, rebuild from the log", rebuilt, "events/s", 40_000),
    ]
