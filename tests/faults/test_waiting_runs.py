"""Ten thousand runs that wait: they cost nothing until their time has come, and a killed process fires all of them in time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest

from infra.settings import Settings
from tests.faults.system import BreakableSystem, running_system
from tests.faults.test_memory import in_words, memory_mib

pytestmark = [pytest.mark.faults, pytest.mark.servers]

TENANT = "waiting"
RUNS = 10_000
BATCH = 500
AHEAD_S = 45.0
"""So far ahead lie the ends: time for the start of all runs at a modest pace, for a look at the rest, and for a restart."""
SPREAD_S = 5.0
"""Within which all of them end: two thousand a second."""
ALL_WAIT_S_MAX = 60.0
REST_S = 5.0
REST_PROCESSOR_S_MAX = 0.5
RESTART_S_MAX = 15.0
MIB_MAX = 300.0
LATE_S_MAX = 1.0
FIRED_S_MAX = 30.0
WORKFLOW = {
    "document": {"dsl": "1.0.3", "namespace": TENANT, "name": "nap", "version": "1.0.0"},
    "do": [{"sleep": {"wait": "${ .pause }"}}],
}
_WAITING = "SELECT count(*) FROM timer"
_ENDED = "SELECT count(*) FROM event WHERE tenant_id = %s AND type = 'run.completed'"
_TIMES = """
SELECT EXTRACT(epoch FROM fired.occurred_at - (began.data->'awaits'->>'until')::timestamptz)::float8,
       EXTRACT(epoch FROM ended.occurred_at - (began.data->'awaits'->>'until')::timestamptz)::float8,
       EXTRACT(epoch FROM (began.data->'awaits'->>'until')::timestamptz)::float8
FROM event began
JOIN event fired USING (tenant_id, stream_id)
JOIN event ended USING (tenant_id, stream_id)
WHERE tenant_id = %s AND began.type = 'run.task_started' AND began.data->'awaits'->>'kind' = 'timer'
  AND fired.type IN ('run.task_answered', 'run.task_completed') AND fired.data->>'task' = began.data->>'task'
  AND ended.type = 'run.completed'
"""


@dataclass(slots=True)
class World:
    """A system, its command API, and its database."""

    system: BreakableSystem
    http: httpx.AsyncClient
    connection: psycopg.AsyncConnection[Any]

    async def ask(self, path: str, json: object) -> Any:
        answer = await self.http.post(self.system.url("write_side") + path, json=json)
        assert answer.is_success, answer.text
        return answer.json()

    async def count(self, query: str, *parameters: object) -> int:
        row = await (await self.connection.execute(query.encode(), parameters)).fetchone()
        assert row is not None
        return int(row[0])

    async def start(self, ends_at: float) -> None:
        """Start all runs, a batch at a time, each to wait until its moment in the seconds after `ends_at`."""
        random = Random(7)
        for first in range(0, RUNS, BATCH):
            rests = [ends_at + random.uniform(0, SPREAD_S) - time.time() for _ in range(BATCH)]
            commands = [
                {"command": "StartRun", "workflow_id": f"{TENANT}.nap", "input": {"pause": f"PT{rest:.3f}S"}}
                for rest in rests
            ]
            answer = await self.ask("/v1/commands", commands)
            assert all("position" in result for result in answer["results"]), answer["results"][0]
            await self.all_wait(first + BATCH)

    async def all_wait(self, runs: int) -> None:
        async with asyncio.timeout(ALL_WAIT_S_MAX):
            while await self.count(_WAITING) < runs:
                await asyncio.sleep(0.02)

    async def all_ended(self, ends_at: float) -> None:
        async with asyncio.timeout(ends_at + SPREAD_S + FIRED_S_MAX - time.time()):
            while await self.count(_ENDED, TENANT) < RUNS:
                await asyncio.sleep(0.2)

    def processor_s(self, name: str) -> float:
        """The processor time that a process has taken so far."""
        fields = Path(f"/proc/{self.system.pid(name)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def opened() -> AsyncIterator[World]:
    async with (
        running_system(Settings()) as system,
        httpx.AsyncClient(headers={"Foldwork-Tenant": TENANT}, timeout=60, trust_env=False) as http,
        await psycopg.AsyncConnection.connect(system.database_url, autocommit=True) as connection,
    ):
        yield World(system, http, connection)


@pytest.mark.timeout(400)
class TestTenThousandWaitingRuns:
    async def test_sleep_and_fire_in_time_after_a_restart(self, saw: Callable[[str], None]) -> None:
        async with opened() as world:
            await world.ask("/v1/workflows", WORKFLOW)
            begun = time.time()
            ends_at = begun + AHEAD_S
            await world.start(ends_at)
            started_s = time.time() - begun
            await asyncio.sleep(REST_S)
            before = world.processor_s("sagas")
            await asyncio.sleep(REST_S)
            at_rest_s = world.processor_s("sagas") - before
            waiting = memory_mib(world.system)
            world.system.kill("sagas")
            await world.system.until_ready("sagas", RESTART_S_MAX)
            left_s = ends_at - time.time()
            await world.all_ended(ends_at)
            fired = memory_mib(world.system)
            rows = await (await world.connection.execute(_TIMES, (TENANT,))).fetchall()
        fires, ends, dues = (sorted(column) for column in zip(*rows, strict=True))
        saw(
            f"{RUNS} runs started in {started_s:.1f} s; at rest {at_rest_s:.2f} s of processor time in {REST_S:g} s; "
            f"ready again {left_s:.1f} s before the first of {dues[-1] - dues[0]:.1f} s; "
            f"fired after p50 {fires[RUNS // 2]:.3f} s, p99 {fires[RUNS * 99 // 100]:.3f} s, max {fires[-1]:.3f} s; "
            f"ended after max {ends[-1]:.3f} s; MiB waiting: {in_words(waiting)}; MiB fired: {in_words(fired)}"
        )
        assert left_s > 0
        assert (len(rows), fires[0] >= 0) == (RUNS, True)
        assert at_rest_s < REST_PROCESSOR_S_MAX
        assert max(*waiting.values(), *fired.values()) < MIB_MAX
        assert fires[-1] <= LATE_S_MAX
