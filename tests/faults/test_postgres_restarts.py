"""Postgres restarted under load: what was acknowledged is there, what was not known is found out by asking again."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from infra.ids import new_id
from infra.settings import Settings
from tests.faults.examination import examine
from tests.faults.load import Load
from tests.faults.recovery import Probe
from tests.faults.system import BreakableSystem, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers]

TENANT = "writers"
WRITERS = 8
RESTARTS = (signal.SIGKILL, signal.SIGQUIT, signal.SIGKILL, signal.SIGQUIT)
PAUSE_S = 2.5
POOL_BACK_S_MAX = 3.0
BACK_S_MAX = 10.0
WAIT_S_MAX = 30.0
REQUEST_S_MAX = 0.5
"""So short that a command may be asked for again while it is still under way."""
TRY_AGAIN_S = 0.05
DONE = (200, 201)


@dataclass(slots=True)
class Writers:
    """Each sends one command after the other to an agent of its own, and repeats what was not answered under the same key."""

    system: BreakableSystem
    load: Load
    sent: int = 0
    unknown: int = 0
    answered_at: list[float] = field(default_factory=list)

    async def write(self) -> None:
        """All of them, for ever."""
        headers = {"Foldwork-Tenant": TENANT, "Foldwork-Actor": "writer"}
        url = self.system.url("write_side")
        async with httpx.AsyncClient(base_url=url, timeout=REQUEST_S_MAX, trust_env=False, headers=headers) as http:
            await asyncio.gather(*(self._write(http, f"writer-{number}") for number in range(WRITERS)))

    async def _write(self, http: httpx.AsyncClient, agent_id: str) -> None:
        created = {"agent_id": agent_id, "name": agent_id, "agent_type": "reactive"}
        await self._send(http, "/v1/agents", created)
        while True:
            await self._send(http, f"/v1/agents/{agent_id}/update-capabilities", {"capabilities": [f"c{self.sent}"]})
            await asyncio.sleep(0.01)

    async def _send(self, http: httpx.AsyncClient, path: str, body: dict[str, object]) -> None:
        key = new_id()
        self.sent += 1
        while True:
            try:
                answer = await http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.unknown += 1
            else:
                if answer.status_code in DONE:
                    found = answer.json()
                    self.answered_at.append(time.time())
                    self.load.answers.note(TENANT, key, found["position"], found["event_ids"])
                    return
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                self.unknown += 1
            await asyncio.sleep(TRY_AGAIN_S)

    async def first_answer_after(self, moment: float) -> float:
        async with asyncio.timeout(WAIT_S_MAX):
            while not self.answered_at or self.answered_at[-1] <= moment:
                await asyncio.sleep(0.01)
        return next(at for at in self.answered_at if at > moment)


async def restart_postgres(system: BreakableSystem, number: signal.Signals) -> tuple[float, float]:
    """End Postgres without a goodbye; gives when, and when it answered again."""
    pid, killed_at = system.pid("postgres"), time.time()
    system.kill("postgres", number)
    async with asyncio.timeout(WAIT_S_MAX):
        while system.pid("postgres") == pid or not await system.is_ready("postgres"):
            await asyncio.sleep(0.01)
    return killed_at, time.time()


class TestARestartOfPostgresUnderLoad:
    async def test_loses_nothing_that_was_acknowledged(self, saw: Callable[[str], None]) -> None:
        recoveries: list[float] = []
        pools: list[float] = []
        async with running_system(Settings()) as system:
            load = Load(system)
            writers = Writers(system, load)
            async with Probe.of(system, load) as probe, load.running(probe.ask(), probe.watch(), writers.write()):
                await probe.recovery_s(time.time(), WAIT_S_MAX)
                pids = [system.pid(name) for name in system.names if name != "postgres"]
                for number in RESTARTS:
                    killed_at, ready_at = await restart_postgres(system, number)
                    pools.append(await writers.first_answer_after(ready_at) - ready_at)
                    recoveries.append(await probe.recovery_s(killed_at, WAIT_S_MAX))
                    await asyncio.sleep(PAUSE_S)
                ended = sum(
                    pid not in pids for pid in (system.pid(name) for name in system.names if name != "postgres")
                )
                await load.finish()
            assert await load.failed_checks() == []
            found = await examine(system, load)
        saw(
            f"{len(RESTARTS)} restarts, pool back {max(pools):.1f} s after Postgres at the latest, all at work again after"
            f" {', '.join(f'{seconds:.1f}' for seconds in recoveries)} s; {writers.sent} commands, {writers.unknown} asked"
            f" again, {ended} processes ended; {found}"
        )
        assert max(pools) <= POOL_BACK_S_MAX
        assert max(recoveries) <= BACK_S_MAX
