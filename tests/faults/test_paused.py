"""A sagas process that is stopped and goes on does no harm: no run is left without an end, nothing is left in effect or done twice."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.faults.accounts import account_of, wrongs
from tests.faults.ledger import running_ledger
from tests.faults.matrix_world import TENANT, World
from tests.faults.metrics import samples
from tests.faults.saga_matrix import cases, definition, step, workflow
from tests.faults.system import Standby, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers, pytest.mark.timeout(300)]

SEED = 20261122
ROUNDS = 5
TIMED = 16
TIMED_STEPS, TIMED_S = 4, 3
BEGIN_S_MAX = 0.6
PAUSE_S_MIN, PAUSE_S_MAX = 2.0, 8.0
PLAYED = [case for case in cases() if case.steps in (4, 6) and case.undoing == "ok" and case.failing > 1]


@dataclass(frozen=True, slots=True)
class Paused:
    """A world whose sagas can be stopped, and a source of moments."""

    world: World
    moments: random.Random

    async def round(self, label: str, number: int, sagas: dict[str, Callable[[signal.Signals], None]]) -> Counter[str]:
        """Start runs, stop whichever process is at work for a while, and hold what came of them to what it must be."""
        world, urls = self.world, [*sagas]
        begin_s, pause_s = self.moments.uniform(0, BEGIN_S_MAX), self.moments.uniform(PAUSE_S_MIN, PAUSE_S_MAX)
        before = [await samples(url, "foldwork_consumer_position") for url in urls]
        name = f"{label}-{number}"
        runs = {f"{name}.{case.name}": case.name for case in PLAYED}
        runs |= {f"{name}.timed-{again}": "timed" for again in range(TIMED)}
        starting = asyncio.gather(*(self._start(run, played) for run, played in runs.items()))
        await asyncio.sleep(begin_s)
        after = [await samples(url, "foldwork_consumer_position") for url in urls]
        moved = [url for url, was, now in zip(urls, before, after, strict=True) if was != now]
        kill = sagas[(moved or urls)[0]]
        kill(signal.SIGSTOP)
        await asyncio.sleep(pause_s)
        kill(signal.SIGCONT)
        await starting
        ends = await world.ends(name, len(runs))
        found = [*wrongs(world.ledger, ends)]
        for run, wrong in found[:3]:
            account = await account_of(world.system, TENANT, world.ledger, run)
            print(f"\n{run}: {wrong}; stopped after {begin_s:.2f} s for {pause_s:.2f} s\n{account}", flush=True)
        assert found == []
        return Counter(ends.values())

    async def _start(self, run: str, played: str) -> None:
        await self.world.ask("/v1/runs", run_id=run, workflow_id=f"matrix.{played}")


def timed(url: str) -> dict[str, Any]:
    """A workflow whose steps may take less time than the process is stopped."""
    steps = [step(url, f"{number}", "ok", "ok") for number in range(1, TIMED_STEPS + 1)]
    for number, each in enumerate(steps, 1):
        each[f"step{number}"]["timeout"] = {"after": {"seconds": TIMED_S}}
    return workflow("timed", [{"together": {"fork": {"branches": steps}}}, step(url, "last", "fail", "ok")])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paused() -> AsyncIterator[Paused]:
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(running_ledger())
        allowed = Settings(call_networks_allowed=("127.0.0.0/8",))
        system = await stack.enter_async_context(running_system(allowed))
        headers = {"Foldwork-Tenant": TENANT}
        limits = httpx.Limits(max_connections=32)
        client = httpx.AsyncClient(headers=headers, timeout=30, trust_env=False, limits=limits)
        world = World(system, ledger, await stack.enter_async_context(client), system.folder.path)
        await world.register([definition(case, ledger.url) for case in PLAYED] + [timed(ledger.url)])
        yield Paused(world, random.Random(SEED))


@pytest.mark.asyncio(loop_scope="module")
class TestAProcessThatIsStoppedForAWhile:
    async def test_leaves_nothing_in_effect(self, paused: Paused, saw: Callable[[str], None]) -> None:
        system, begun, ends = paused.world.system, time.monotonic(), Counter[str]()
        sagas = {system.url("sagas"): lambda number: system.kill("sagas", number)}
        for number in range(ROUNDS):
            ends += await paused.round("alone", number, sagas)
        saw(f"{ROUNDS} pauses in {time.monotonic() - begun:.0f} s: {dict(ends)}")

    async def test_leaves_nothing_in_effect_when_another_takes_over(
        self, paused: Paused, saw: Callable[[str], None]
    ) -> None:
        system, begun, ends = paused.world.system, time.monotonic(), Counter[str]()
        async with system.standby("sagas") as standby:
            sagas = {system.url("sagas"): lambda number: system.kill("sagas", number), standby.url: _killed(standby)}
            for number in range(ROUNDS):
                ends += await paused.round("beside", number, sagas)
        saw(f"{ROUNDS} pauses in {time.monotonic() - begun:.0f} s: {dict(ends)}")


def _killed(standby: Standby) -> Callable[[signal.Signals], None]:
    return standby.process.kill
