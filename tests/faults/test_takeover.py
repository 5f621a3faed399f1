"""Two processes of a kind: whatever happens to the one at work, the other goes on, and the one that awakes does no harm."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import psycopg
import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.faults.examination import examine
from tests.faults.load import Load
from tests.faults.metrics import samples
from tests.faults.recovery import Probe
from tests.faults.system import BreakableSystem, Standby, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers]

CONSUMERS = ("projections", "sagas")
STOPPED_S = 20.0
TAKEOVER_S_MAX = 10.0
WAIT_S_MAX = 30.0
READY_S_MAX = 30.0
AWAKE_S = 3.0
MOVEMENT_S = 1.0
CONNECTIONS_MAX = 80
"""Postgres takes 100 unless it is told otherwise: what is left is for a process that begins while the one before it is not gone yet."""
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


@dataclass(frozen=True, slots=True)
class Pairs:
    """A system, and beside its relay and its consumers a second one of each."""

    system: BreakableSystem
    standby: dict[str, Standby]

    async def at_work(self, name: str) -> set[str]:
        """Which of the two moves: `own`, `standby`, both or neither."""
        urls = {"own": self.system.url(name), "standby": self.standby[name].url}
        metric = "foldwork_relay_events_total" if name == "relay" else "foldwork_consumer_position"
        before = {who: await samples(url, metric) for who, url in urls.items()}
        await asyncio.sleep(MOVEMENT_S)
        return {who for who, url in urls.items() if await samples(url, metric) != before[who]}

    async def connections(self) -> int:
        async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
            row = await (await connection.execute(_CONNECTIONS)).fetchone()
        return int(row[0]) if row else 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pairs() -> AsyncIterator[Pairs]:
    async with running_system(Settings()) as system, AsyncExitStack() as standbys:
        names = ("relay", *CONSUMERS)
        yield Pairs(system, {name: await standbys.enter_async_context(system.standby(name)) for name in names})


@pytest.mark.asyncio(loop_scope="module")
class TestAStandby:
    async def test_takes_over_from_a_consumer_that_is_killed(self, pairs: Pairs, saw: Callable[[str], None]) -> None:
        system, load, takeovers = pairs.system, Load(pairs.system), {}
        async with Probe.of(system, load) as probe, load.running(probe.ask(), probe.watch()):
            await probe.recovery_s(time.time(), WAIT_S_MAX)
            for name in CONSUMERS:
                assert await pairs.at_work(name) == {"own"}
                killed_at = time.time()
                system.kill(name)
                takeovers[name] = await probe.recovery_s(killed_at, WAIT_S_MAX)
                await system.until_ready(name, READY_S_MAX)
                assert await pairs.at_work(name) == {"standby"}
            connections = await pairs.connections()
            await load.finish()
        assert await load.failed_checks() == []
        found = await examine(system, load)
        times = ", ".join(f"{name} after {after:.1f} s" for name, after in takeovers.items())
        saw(f"taken over from {times}; {connections} connections; {found}")
        assert max(takeovers.values()) <= TAKEOVER_S_MAX
        assert connections <= CONNECTIONS_MAX

    async def test_takes_over_from_processes_that_are_stopped_and_awake_again(
        self, pairs: Pairs, saw: Callable[[str], None]
    ) -> None:
        """The relay is the system's own; the consumers at work are the ones that took over before."""
        system, load = pairs.system, Load(pairs.system)
        async with Probe.of(system, load) as probe, load.running(probe.ask(), probe.watch()):
            await probe.recovery_s(time.time(), WAIT_S_MAX)
            assert await pairs.at_work("relay") == {"own"}
            stopped_at = time.time()
            self._send(pairs, signal.SIGSTOP)
            takeover_s = await probe.recovery_s(stopped_at, WAIT_S_MAX)
            await asyncio.sleep(max(0.0, stopped_at + STOPPED_S - time.time()))
            self._send(pairs, signal.SIGCONT)
            await asyncio.sleep(AWAKE_S)
            assert [await pairs.at_work(name) for name in ("relay", *CONSUMERS)] == [{"standby"}, {"own"}, {"own"}]
            await load.finish()
        assert await load.failed_checks() == []
        found = await examine(system, load)
        saw(f"relay, projections and sagas stopped for {STOPPED_S:g} s, taken over after {takeover_s:.1f} s; {found}")
        assert takeover_s <= TAKEOVER_S_MAX

    def _send(self, pairs: Pairs, number: signal.Signals) -> None:
        pairs.system.kill("relay", number)
        for name in CONSUMERS:
            pairs.standby[name].process.kill(number)
