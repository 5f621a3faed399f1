"""What every process of Foldwork is built on: its settings, the log, the mirror, news, and a registry of metrics."""

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry, Gauge

from infra.adapters.checkpoints import Board
from infra.adapters.fresh_events import FreshEvents
from infra.adapters.lease import LeaseSession
from infra.adapters.nats_notices import NatsNotices
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.nats_work import NatsWorkQueue
from infra.adapters.news import News
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.consumer import Consumer
from infra.engines.feed import Feed
from infra.engines.handler import Handler
from infra.engines.mirror import mirror_source
from infra.engines.process import run_together
from infra.errors import Fault
from infra.settings import Settings
from infra.telemetry import configure_logging, new_registry, serve_health


class NotConfigured(Fault):
    """Neither FOLDWORK_DATABASE_URL nor FOLDWORK_NATS_URL may be missing here; `foldwork up` starts everything on one machine."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts that a process shares. An append wakes the relay, and tells consumers of its events if they are few."""

    settings: Settings
    database_url: str
    nats_url: str
    store: PostgresEventStore
    stream: NatsEventStream
    feed: Feed
    fresh: FreshEvents
    news: News
    work: NatsWorkQueue
    notices: NatsNotices
    registry: CollectorRegistry


@asynccontextmanager
async def machine(service: str, settings: Settings) -> AsyncIterator[Machine]:
    """Open the parts for one process and close them in the end."""
    if settings.database_url is None or settings.nats_url is None:
        raise NotConfigured
    configure_logging(service, settings.log_level)
    store = await PostgresEventStore.open(settings.database_url, settings)
    stream = await NatsEventStream.connect(settings.nats_url, settings, service)
    fresh = FreshEvents(stream, settings)
    store.on_append = fresh.written
    feed = Feed(store, mirror_source(stream, f"{service}-{uuid4().hex[:12]}"), settings)
    try:
        urls = settings.database_url, settings.nats_url
        work = NatsWorkQueue(stream, settings)
        notices = NatsNotices(stream, settings)
        yield Machine(settings, *urls, store, stream, feed, fresh, News(stream), work, notices, new_registry())
    finally:
        await stream.close()
        await store.close()


def _lag(feed: Feed, consumer: Consumer) -> int:
    return max(0, feed.position - consumer.position)


async def run_consumers(
    parts: Machine, handlers: Sequence[Handler], port: int, *others: Coroutine[Any, Any, None]
) -> None:
    """Run a process of consumers, and what else it needs, until it is told to stop."""
    # One for all: a standby beside this process has as many leases, and Postgres has no more than 100 connections by default.
    session = LeaseSession(parts.database_url)
    board = Board(parts.settings.shard, parts.settings.consumer_control_poll_s / 2)
    shared = parts.store, parts.feed, parts.database_url, parts.settings, parts.news.announce, session, board
    consumers = [Consumer(handler, *shared) for handler in handlers]
    position = Gauge("foldwork_consumer_position", "Where a consumer stands.", ["consumer"], registry=parts.registry)
    lag = Gauge(
        "foldwork_consumer_lag_events", "Events a consumer has not seen yet.", ["consumer"], registry=parts.registry
    )
    for handler, consumer in zip(handlers, consumers, strict=True):
        position.labels(handler.name).set_function(partial(getattr, consumer, "position"))
        lag.labels(handler.name).set_function(partial(_lag, parts.feed, consumer))

    def ready() -> bool:
        """An active consumer has begun; one that another process runs is a standby."""
        return parts.feed.running

    await parts.fresh.listen(parts.feed.offer)
    async with serve_health(port, ready, registry=parts.registry, host=parts.settings.host):
        await run_together(
            parts.feed.run(), *(consumer.run() for consumer in consumers), *others, died=parts.store.died
        )
