"""Figures of the log and the command bus inside one process, beside bare SQL and the eventsourcing library on the same Postgres."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psycopg

from events.catalog import CATALOG as EVENTS
from events.envelope import Origin
from infra.adapters.migrations import migrate
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.command_bus import CommandBus
from infra.ids import new_id
from infra.settings import Settings
from tests.bench.figures import Figure
from tests.bench.load import percentile
from write_side.agent import CreateAgent
from write_side.catalog import CATALOG as DECIDERS
from write_side.task import RecordTaskUsage, RequestTask, StartTask

ROUNDS = 3


async def fresh_database(server_url: str, name: str) -> str:
    """An empty database on the server of this run; gives its URL."""
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        await connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return psycopg.conninfo.make_conninfo(server_url, dbname=name)


async def bare_sql(server_url: str) -> dict[int, float]:
    """Single-row append transactions a second, by number of connections."""
    url = await fresh_database(server_url, "bench_bare")
    insert = "INSERT INTO bare (stream_id, version, data) VALUES (%s, %s, %s)"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "CREATE TABLE bare (id bigserial PRIMARY KEY, stream_id text, version int, data text, UNIQUE (stream_id, version))"
        )
    found: dict[int, float] = {}
    for connections, rows in ((1, 2_000), (16, 10_000), (32, 16_000)):

        async def write(rows: int) -> None:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                for number in range(rows):
                    await connection.execute(
                        insert, (new_id(), number, '{"model":"gpt-4o","tokens_in":100}'), prepare=True
                    )

        begun = time.perf_counter()
        await asyncio.gather(*(write(rows // connections) for _ in range(connections)))
        found[connections] = rows / (time.perf_counter() - begun)
    return found


def library_saves(server_url: str, database: str) -> float:
    """`Application.save` of the eventsourcing library, one aggregate with one event each, a second."""
    parts = psycopg.conninfo.conninfo_to_dict(psycopg.conninfo.make_conninfo(server_url, dbname=database))
    os.environ.update(
        PERSISTENCE_MODULE="eventsourcing.postgres",
        POSTGRES_DBNAME=str(parts["dbname"]),
        POSTGRES_HOST=str(parts.get("host", "127.0.0.1")),
        POSTGRES_PORT=str(parts.get("port", "5432")),
        POSTGRES_USER=str(parts["user"]),
        POSTGRES_PASSWORD=str(parts.get("password", "")) or "unused",
    )
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate

    application: Application[object] = Application()
    for _ in range(50):
        application.save(Aggregate())
    count = 1_500
    begun = time.perf_counter()
    for _ in range(count):
        application.save(Aggregate())
    saves = count / (time.perf_counter() - begun)
    application.close()
    return saves


async def commands(server_url: str, in_flight: int, count: int, *, remember: bool) -> tuple[float, list[float]]:
    """Commands validated, decided and appended with so many in flight: a second, and their latencies."""
    url = await fresh_database(server_url, "bench_commands")
    settings = Settings()
    await migrate(url)
    store = await PostgresEventStore.open(url, settings)
    bus = CommandBus(store, DECIDERS, EVENTS, settings)
    latencies: list[float] = []
    numbers = iter(range(count))

    def origin() -> Origin:
        command_id = new_id()
        return Origin("bench", "bench", command_id, command_id, command_id)

    await bus.execute(CreateAgent(agent_id="a", name="A", agent_type="autonomous"), origin())

    async def prepare(task_id: str) -> None:
        await bus.execute(RequestTask(task_id=task_id, agent_id="a", title="work"), origin())
        await bus.execute(StartTask(task_id=task_id), origin())

    async def work(task_id: str) -> None:
        raw = {"task_id": task_id, "model": "gpt-4o", "tokens_in": 100, "tokens_out": 20}
        for _ in numbers:
            begun = time.perf_counter()
            await bus.execute(RecordTaskUsage.model_validate(raw), origin(), remember=remember)
            latencies.append(time.perf_counter() - begun)

    tasks = [f"t{number}" for number in range(in_flight)]
    await asyncio.gather(*(prepare(task) for task in tasks))
    begun = time.perf_counter()
    await asyncio.gather(*(work(task) for task in tasks))
    rate = count / (time.perf_counter() - begun)
    await store.close()
    return rate, sorted(latencies)


async def in_process_figures(server_url: str) -> list[Figure]:
    """Each the median of `ROUNDS`, measured in turn: what a ratio compares was measured in the same round."""
    bare = await bare_sql(server_url)
    rounds = [await _round(server_url) for _ in range(ROUNDS)]
    library = median(each.library for each in rounds)
    p99_ms = median(each.p99_ms for each in rounds)
    return [
        *(Figure(f"bare SQL append, {n} connections", rate, "tx/s") for n, rate in bare.items()),
        Figure("eventsourcing Application.save", library, "saves/s"),
        _beside("commands, 1 in flight", rounds, "one", None, None, bare[1]),
        _beside("commands, 16 in flight", rounds, "sixteen", 10_000, 10, bare[1]),
        Figure("commands, 16 in flight, p99", p99_ms, "ms", 4),
        _beside("commands, 1,000 in flight", rounds, "many", 25_000, 25, bare[1]),
        _beside("commands with an id each, 1,000 in flight", rounds, "with_id", None, None, bare[1]),
    ]


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured one after another: a second, but for the latency."""

    library: float
    one: float
    sixteen: float
    p99_ms: float
    many: float
    with_id: float


async def _round(server_url: str) -> Round:
    library_database = "bench_library"
    await fresh_database(server_url, library_database)
    library = await asyncio.to_thread(library_saves, server_url, library_database)
    one, _ = await commands(server_url, 1, 2_000, remember=False)
    sixteen, latencies = await commands(server_url, 16, 30_000, remember=False)
    many, _ = await commands(server_url, 1_000, 80_000, remember=False)
    with_id, _ = await commands(server_url, 1_000, 30_000, remember=True)
    return Round(library, one, sixteen, percentile(latencies, 0.99) * 1e3, many, with_id)


def _beside(
    name: str, rounds: Sequence[Round], measured: str, floor: float | None, ratio_floor: float | None, bare: float
) -> Figure:
    rates = [getattr(each, measured) for each in rounds]
    ratio = median(rate / each.library for rate, each in zip(rates, rounds, strict=True))
    rate = median(rates)
    beside = f"library {median(each.library for each in rounds):,.0f}/s"
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}; {rate / bare:.1f}x bare SQL on the same one connection"
    return Figure(name, rate, "/s", floor, beside, ratio, ratio_floor, spread)
