"""SIGKILL at every named crash point, while the whole system works: nothing acknowledged is lost, nothing is done twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

import infra.supervisor
from infra.faults import CRASH_POINTS
from infra.settings import Settings
from tests.faults.examination import examine
from tests.faults.load import Load
from tests.faults.log_checks import audit, lost
from tests.faults.recovery import Probe
from tests.faults.system import BreakableSystem, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers]
in_one_loop = pytest.mark.asyncio(loop_scope="module")

DIES = {
    "append": "write_side",
    "relay": "relay",
    "consumer": "projections",
    "saga": "sagas",
    "timer": "sagas",
    "activity": "sagas",
}
"""Which process is armed for the crash points of a kind."""

POINTS = [point for point in CRASH_POINTS if not point.startswith("activity.")]
"""Those that this load comes by; for the others there is the matrix of sagas."""

HITS = (1, 5, 20)
"""At the first hit after a start, and at one in the middle of things and a late one: then as soon as everything is at work."""

HIT_S_MAX = 30.0
BACK_S_MAX = 10.0
WAIT_S_MAX = 30.0


@dataclass(slots=True)
class Battlefield:
    """A system at work; `recoveries` are all of them, in seconds."""

    system: BreakableSystem
    load: Load
    probe: Probe
    latches: Path
    recoveries: list[float] = field(default_factory=list)

    async def kill_at(self, point: str) -> list[float]:
        """Let a process die at a point, once for each of HITS; gives the recovery times."""
        part = DIES[point.partition(".")[0]]
        found: list[float] = []
        for hit in HITS:
            latch = self.latches / f"{point}-{hit}"
            if hit == HITS[0]:
                self.system.arm(part, f"{point}:{hit}", latch)
                self.system.kill(part)
            else:
                latch.unlink()
            killed_at = await self._killed(latch)
            # The process that comes back counts its hits, but lives until its latch is taken away.
            following = self.latches / f"{point}-{HITS[(HITS.index(hit) + 1) % len(HITS)]}"
            following.touch()
            self.system.arm(part, following.name.replace("-", ":"), following)
            found.append(await self.probe.recovery_s(killed_at, WAIT_S_MAX))
        self.system.disarm(part)
        self.recoveries += found
        return found

    async def _killed(self, latch: Path) -> float:
        async with asyncio.timeout(HIT_S_MAX):
            while (made_at := time_made(latch)) is None:
                await asyncio.sleep(0.01)
        return made_at


def time_made(file: Path) -> float | None:
    return file.stat().st_mtime if file.exists() else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def battlefield(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Battlefield]:
    latches = tmp_path_factory.mktemp("latches")
    with pytest.MonkeyPatch.context() as patch:
        # Each kill stands for the first in a long time, after which a process is started again at once.
        patch.setattr(infra.supervisor, "BACKOFF_S_MAX", infra.supervisor.BACKOFF_S_MIN)
        async with running_system(Settings()) as system:
            load = Load(system)
            async with Probe.of(system, load) as probe, load.running(probe.ask(), probe.watch()):
                await probe.recovery_s(time.time(), WAIT_S_MAX)
                yield Battlefield(system, load, probe, latches)


@in_one_loop
class TestAProcessThatIsKilled:
    @pytest.mark.parametrize("point", POINTS)
    async def test_loses_nothing_and_doubles_nothing(
        self, battlefield: Battlefield, point: str, saw: Callable[[str], None]
    ) -> None:
        recoveries = await battlefield.kill_at(point)
        url, answers = battlefield.system.database_url, battlefield.load.answers
        acknowledged = answers.acknowledged
        missing, found = await lost(url, acknowledged), await audit(url)
        times = ", ".join(f"{seconds:.1f}" for seconds in recoveries)
        saw(
            f"{len(recoveries)} kills, at work again after {times} s; {len(acknowledged)} acknowledged events,"
            f" {missing} lost, {found.doubled} doubled"
        )
        assert missing == 0
        assert answers.changed == []
        assert found.faults == {}
        assert max(recoveries) <= BACK_S_MAX


@in_one_loop
class TestTheSystemAfterwards:
    async def test_is_as_if_nobody_had_been_killed(self, battlefield: Battlefield, saw: Callable[[str], None]) -> None:
        system, load = battlefield.system, battlefield.load
        await load.finish()
        assert await load.failed_checks() == []
        found = await examine(system, load)
        saw(f"{len(battlefield.recoveries)} kills, {len(load.tenants)} rounds of the scenario as expected, {found}")
