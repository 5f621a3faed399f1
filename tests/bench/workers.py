"""Figures of agent tasks that a worker does over NATS: asked for by capability over HTTP, assigned, offered, begun and completed."""

import asyncio
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import orjson
import psycopg

from infra.parts import PARTS
from infra.settings import Settings
from infra.supervisor import Supervisor
from tests.bench.figures import Figure
from tests.bench.load import connect, percentile, post
from tests.bench.system import port_of

TASKS = 10_000
TASKS_BEFORE = 1_000
ALONE = 100
BATCH = 500
CONNECTIONS = 2
TASKS_PER_S_MIN = 1_000
AT_ONCE = 500
CAPABILITY = "count"
LOOK_S = 0.02
WAIT_S_MAX = 120.0
NEEDED = ("write_side", "relay", "sagas")
_SINCE = "SELECT coalesce(max(position), %s), count(*) FILTER (WHERE type = %s) FROM event WHERE position > %s"


class Log:
    """Looks into the log itself: what is counted there is on disk."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[int, int]]) -> None:
        self._connection = connection
        self._position = 0

    async def until(self, type: str, number: int, look_s: float = LOOK_S) -> None:
        """Wait until `number` more events of a type are there than when this was called last."""
        found = 0
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                row = await (await self._connection.execute(_SINCE, (self._position, type, self._position))).fetchone()
                assert row is not None
                self._position, more = row
                found += more
                if found >= number:
                    return
                await asyncio.sleep(look_s)


def requests(name: str, numbers: Sequence[int]) -> bytes:
    fields = {"command": "RequestTask", "capability": CAPABILITY, "title": "Count on"}
    return post(
        "/v1/commands",
        orjson.dumps([{**fields, "task_id": f"{name}-{number}", "input": {"number": number}} for number in numbers]),
    )


async def ask(port: int, name: str, tasks: int, at_once: int = BATCH) -> None:
    """Request tasks in batches, over a few connections."""
    batches = iter([range(start, min(start + at_once, tasks)) for start in range(0, tasks, at_once)])

    async def send() -> None:
        connection = await connect(port)
        for batch in batches:
            status, body = await connection.ask(requests(name, batch))
            if status != 200 or any(result["status"] != 201 for result in orjson.loads(body)["results"]):
                raise RuntimeError(f"tasks could not be requested: {status} {body[:300]!r}")

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))


async def done(port: int, log: Log, name: str, tasks: int) -> float:
    """Seconds from the first request until the last of the tasks is completed in the log."""
    begun = perf_counter()
    asking = asyncio.create_task(ask(port, name, tasks))
    await log.until("task.completed", tasks)
    taken_s = perf_counter() - begun
    await asking
    return taken_s


async def alone(port: int, log: Log) -> list[float]:
    """Seconds that one task after another takes while there is no other, sorted."""
    taken: list[float] = []
    for number in range(ALONE):
        begun = perf_counter()
        await ask(port, f"alone-{number}", 1)
        await log.until("task.completed", 1, 0.001)
        taken.append(perf_counter() - begun)
    return sorted(taken)


@asynccontextmanager
async def working(url: str) -> AsyncIterator[int]:
    """A worker in a process of its own; gives its id."""
    program = Path(__file__).parent / "worker_process.py"
    arguments = (sys.executable, "-P", str(program), url, "counter", CAPABILITY, str(AT_ONCE))
    worker = await asyncio.create_subprocess_exec(*arguments)
    try:
        yield worker.pid
    finally:
        if worker.returncode is None:
            worker.terminate()
        await worker.wait()


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process and its children have taken; not a number where there is no /proc."""
    process = Path("/proc") / str(pid)
    try:
        user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        children = [child for task in (process / "task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return math.nan
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") + sum(processor_s(int(child)) for child in children)


async def worker_figures() -> list[Figure]:
    """The parts that a task needs on their own servers; the query API and the read models are not running."""
    parts = [part for part in PARTS if part.name in NEEDED]
    with tempfile.TemporaryDirectory(prefix="foldwork-bench-") as folder:
        async with Supervisor(Settings(data_dir=Path(folder)), ports="auto", parts=parts) as system:
            port, nats_url, database_url = (
                port_of(system, "write_side"),
                system.settings.nats_url,
                system.settings.database_url,
            )
            assert nats_url is not None
            assert database_url is not None
            async with (
                await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
                working(nats_url) as worker,
            ):
                log = Log(connection)
                await log.until("agent.started", 1)
                await done(port, log, "before", TASKS_BEFORE)
                pids = {"worker": worker, **{name: system.pid(name) or 0 for name in system.names}}
                before = {name: processor_s(pid) for name, pid in pids.items()}
                taken_s = await done(port, log, "measured", TASKS)
                taken = {name: processor_s(pid) - before[name] for name, pid in pids.items()}
                latencies = await alone(port, log)
    note = "processor time of a task, ms: " + ", ".join(f"{name} {s / TASKS * 1e3:.2f}" for name, s in taken.items())
    return [
        Figure(
            f"agent tasks through a NATS worker, {AT_ONCE} at once", TASKS / taken_s, "/s", TASKS_PER_S_MIN, note=note
        ),
        Figure("agent task alone, from its request to its end, p50", percentile(latencies, 0.5) * 1e3, "ms"),
    ]
