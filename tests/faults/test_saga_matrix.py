"""Every run of the matrix ends completed, compensated or parked, and nothing takes effect twice, whoever is killed meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio

import infra.supervisor
from infra.faults import CRASH_POINTS
from infra.settings import Settings
from tests.faults.ledger import Ledger, running_ledger
from tests.faults.saga_matrix import Case, cases, definition
from tests.faults.system import BreakableSystem, running_system
from tests.faults.test_crash_points import DIES

pytestmark = [pytest.mark.faults, pytest.mark.servers, pytest.mark.timeout(420)]
in_one_loop = pytest.mark.asyncio(loop_scope="module")

POINTS = [point for point in CRASH_POINTS if point != "saga.mid_commands"]
"""The sagas of these runs set timers and send no commands: the crash points' own test goes by there."""
TENANT = "matrix"
ENDED = ("completed", "faulted", "compensated", "parked", "cancelled")
END_S_MAX = 150.0
HIT_S_MAX = 40.0
REQUEST_S_MAX = 30.0
_RUNS = "SELECT run_id, status FROM run_directory WHERE tenant_id = %s AND run_id LIKE %s"
_MADE_TWICE = """
SELECT count(*) FROM (
    SELECT stream_id, data->>'task', type FROM event
    WHERE tenant_id = %s AND type IN ('run.task_completed', 'run.task_compensated', 'run.task_faulted')
    GROUP BY 1, 2, 3 HAVING count(*) > 1
) AS twice
"""


@dataclass(slots=True)
class World:
    """A system, the ledger that its runs call, and where latches lie."""

    system: BreakableSystem
    ledger: Ledger
    http: httpx.AsyncClient
    latches: Path

    async def ask(self, path: str, **json: object) -> dict[str, object]:
        """A command that is repeated under its own key until it is answered."""
        key = sha256(f"{path}/{json}".encode()).hexdigest()
        until, refused = time.monotonic() + REQUEST_S_MAX, ""
        while time.monotonic() < until:
            try:
                url = self.system.url("write_side") + path
                answer = await self.http.post(url, json=json, headers={"Idempotency-Key": key})
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    assert answer.is_success, answer.text
                    return dict(answer.json())
                refused = answer.text
            except httpx.TransportError as lost:
                refused = repr(lost)
            await asyncio.sleep(0.1)
        raise AssertionError(refused)

    async def register(self, all_cases: Sequence[Case]) -> None:
        for case in all_cases:
            await self.ask("/v1/workflows", **definition(case, self.ledger.url))

    async def start(self, all_cases: Sequence[Case], label: str) -> None:
        for case in all_cases:
            run_id = f"{label}.{case.name}"
            await self.ask("/v1/runs", run_id=run_id, workflow_id=f"matrix.{case.name}")

    async def ends(self, label: str, expected: int) -> dict[str, str]:
        """How the runs of a label have ended, once all of them have."""
        found: dict[str, str] = {}
        async with asyncio.timeout(END_S_MAX):
            while len(found) < expected or any(status not in ENDED for status in found.values()):
                await asyncio.sleep(0.5)
                try:
                    async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
                        rows = await (await connection.execute(_RUNS, (TENANT, f"{label}.%"))).fetchall()
                except psycopg.OperationalError:
                    continue
                found = {run_id.removeprefix(f"{label}."): status for run_id, status in rows}
        return found

    async def made_twice(self) -> int:
        async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
            row = await (await connection.execute(_MADE_TWICE, (TENANT,))).fetchone()
        assert row is not None
        return int(row[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(infra.supervisor, "BACKOFF_S_MAX", infra.supervisor.BACKOFF_S_MIN)
        ledger = await stack.enter_async_context(running_ledger())
        allowed = Settings(call_networks_allowed=("127.0.0.0/8",))
        system = await stack.enter_async_context(running_system(allowed))
        headers = {"Foldwork-Tenant": TENANT}
        http = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=10, trust_env=False))
        found = World(system, ledger, http, tmp_path_factory.mktemp("latches"))
        await found.register([*cases()])
        yield found


def check(world: World, label: str, ends: dict[str, str]) -> None:
    """Each run ended as it may, and each step took effect as often as that says."""
    wrong = {case.name: ends[case.name] for case in cases() if case.name in ends and ends[case.name] not in case.ends}
    assert wrong == {}
    effects = {key: len(made) for key, made in world.ledger.effects.items() if key[0].startswith(f"{label}.")}
    assert {key: count for key, count in effects.items() if count > 1} == {}
    for case in cases():
        run = f"{label}.{case.name}"
        if ends.get(case.name) in ("compensated", "faulted"):
            done = {step for where, step, what in effects if where == run and what == "do"}
            undone = {step for where, step, what in effects if where == run and what == "undo"}
            assert undone == done, run


@in_one_loop
class TestTheMatrix:
    async def test_ends_as_it_should_in_each_case(self, world: World, saw: Callable[[str], None]) -> None:
        begun, all_cases = time.monotonic(), [*cases()]
        await world.start(all_cases, "calm")
        ends = await world.ends("calm", len(all_cases))
        check(world, "calm", ends)
        saw(f"{len(ends)} runs in {time.monotonic() - begun:.0f} s: {dict(Counter(ends.values()))}")

    @pytest.mark.parametrize("point", POINTS)
    async def test_ends_as_it_should_whoever_is_killed(
        self, world: World, point: str, saw: Callable[[str], None]
    ) -> None:
        """A sixth of the cases, another one for each point, while a process dies there again and again."""
        label, number = point.replace(".", "-"), POINTS.index(point)
        some = [case for place, case in enumerate(cases()) if place % 6 == number % 6]
        part, kills = DIES[point.partition(".")[0]], 0
        starting = asyncio.create_task(world.start(some, label))
        for hit in (1, 7, 30):
            latch = world.latches / f"{label}-{hit}"
            world.system.arm(part, f"{point}:{hit}", latch)
            world.system.kill(part)
            try:
                async with asyncio.timeout(HIT_S_MAX if hit == 1 else 5.0):
                    while not latch.exists():
                        await asyncio.sleep(0.02)
                kills += 1
            except TimeoutError:
                assert hit > 1, f"nothing came by {point}"
        world.system.disarm(part)
        await starting
        ends = await world.ends(label, len(some))
        check(world, label, ends)
        saw(f"{kills} kills, {len(ends)} runs: {dict(Counter(ends.values()))}")

    async def test_makes_no_task_happen_twice(self, world: World) -> None:
        assert await world.made_twice() == 0
