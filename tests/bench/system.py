"""Figures of the whole system over HTTP: single commands, batches, and how soon a command is visible in the query API."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import orjson

from infra.parts import PARTS
from infra.settings import Settings
from infra.supervisor import Supervisor
from tests.bench.figures import Figure
from tests.bench.load import Connection, connect, get, hammer, percentile, post

TASKS = 64
BATCH = 500
VISIBLE_PER_S = 500
VISIBLE_S = 5
VISIBLE_ROUNDS = 3


async def prepare(port: int) -> None:
    """One agent, and tasks that it works on."""
    connection = await connect(port)
    commands = [
        {"command": "CreateAgent", "agent_id": "a", "name": "A", "agent_type": "autonomous"},
        *({"command": "RequestTask", "task_id": f"t{n}", "agent_id": "a", "title": "work"} for n in range(TASKS)),
        *({"command": "StartTask", "task_id": f"t{n}"} for n in range(TASKS)),
    ]
    status, body = await connection.ask(post("/v1/commands", orjson.dumps(commands)))
    if status != 200 or any(result["status"] >= 300 for result in orjson.loads(body)["results"]):
        raise RuntimeError(f"the bench could not be prepared: {status} {body[:300]!r}")


def usage(number: int) -> bytes:
    body = b'{"model":"gpt-4o","tokens_in":100,"tokens_out":20}'
    return post(f"/v1/tasks/t{number % TASKS}/record-usage", body)


def batch(number: int) -> bytes:
    fields = {"command": "RecordTaskUsage", "model": "gpt-4o", "tokens_in": 100, "tokens_out": 20}
    return post("/v1/commands", orjson.dumps([{**fields, "task_id": f"t{n % TASKS}"} for n in range(BATCH)]))


async def visible(command_port: int, query_port: int) -> list[float]:
    """At a steady rate: from sending a command until the query API shows it, in seconds, sorted."""
    seen: list[float] = []
    free: asyncio.Queue[tuple[Connection, Connection]] = asyncio.Queue()
    for _ in range(48):
        free.put_nowait((await connect(command_port), await connect(query_port)))

    async def once(number: int) -> None:
        commands, queries = await free.get()
        begun = time.perf_counter()
        _, body = await commands.ask(usage(number))
        position = orjson.loads(body)["position"]
        status, body = await queries.ask(get(f"/v1/tasks/t{number % TASKS}", f"Foldwork-Min-Position: {position}\r\n"))
        if status != 200 or orjson.loads(body)["position"] < position:
            raise RuntimeError(f"not visible: {status} {body[:300]!r}")
        seen.append(time.perf_counter() - begun)
        free.put_nowait((commands, queries))

    begun = time.perf_counter()
    running = []
    for number in range(VISIBLE_PER_S * VISIBLE_S):
        late_by = begun + number / VISIBLE_PER_S - time.perf_counter()
        if late_by > 0:
            await asyncio.sleep(late_by)
        running.append(asyncio.create_task(once(number)))
    await asyncio.gather(*running)
    return sorted(seen[VISIBLE_PER_S:])


async def http_figures() -> list[Figure]:
    """The command API with its log; what reads from the log is not running, so that two cores are enough for the load."""
    alone = [part for part in PARTS if part.name == "write_side"]
    with tempfile.TemporaryDirectory(prefix="foldwork-bench-") as folder:
        async with Supervisor(Settings(data_dir=Path(folder)), ports="auto", parts=alone) as system:
            port = port_of(system, "write_side")
            await prepare(port)
            await hammer(port, 64, 4_000, usage, status=200)
            single, latencies = await hammer(port, 64, 30_000, usage, status=200)
            batches, _ = await hammer(port, 4, 200, batch, status=200)
    return [
        Figure("HTTP, single commands, 64 connections", single, "/s", 4_000),
        Figure("HTTP, single commands, p99", percentile(latencies, 0.99) * 1e3, "ms"),
        Figure(f"HTTP, batches of {BATCH}", batches * BATCH, "commands/s", 15_000),
    ]


async def visible_figures() -> list[Figure]:
    """The whole system."""
    with tempfile.TemporaryDirectory(prefix="foldwork-bench-") as folder:
        async with Supervisor(Settings(data_dir=Path(folder)), ports="auto") as system:
            await prepare(port_of(system, "write_side"))
            ports = port_of(system, "write_side"), port_of(system, "read_side")
            rounds = [await visible(*ports) for _ in range(VISIBLE_ROUNDS)]
    return [_median_ms(rounds, 0.5, 8), _median_ms(rounds, 0.99, 40)]


def _median_ms(rounds: Sequence[list[float]], share: float, most: float) -> Figure:
    found = [percentile(latencies, share) * 1e3 for latencies in rounds]
    name = f"command to visible in the query API, p{share * 100:.0f}"
    return Figure(name, median(found), "ms", most, note=f"{min(found):.1f} to {max(found):.1f}")


def port_of(system: Supervisor, part: str) -> int:
    port = urlsplit(system.url(part)).port
    assert port is not None
    return port


async def system_figures() -> list[Figure]:
    return [*await http_figures(), *await visible_figures()]
