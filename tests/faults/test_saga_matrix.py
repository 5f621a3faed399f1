"""Every run of the matrix ends completed, compensated or parked, and nothing takes effect twice, whoever is killed meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio

import infra.supervisor
from infra.faults import CRASH_POINTS
from infra.settings import Settings
from tests.faults.child_matrix import child_cases, child_definitions
from tests.faults.ledger import running_ledger
from tests.faults.matrix_checks import check, check_children
from tests.faults.matrix_world import OVER, TENANT, World, has_parked_below
from tests.faults.saga_matrix import cases, definition
from tests.faults.system import running_system
from tests.faults.test_crash_points import DIES

pytestmark = [pytest.mark.faults, pytest.mark.servers, pytest.mark.timeout(420)]
in_one_loop = pytest.mark.asyncio(loop_scope="module")

CALM = "calm-children"
HIT_S_MAX = 40.0
LEASES_LOST = 15
SHARE = 12
"""Of the cases each crash point gets one in so many, others than the point before it."""


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
        await found.register([definition(case, ledger.url) for case in cases()])
        await found.register([each for case in child_cases() for each in child_definitions(case, ledger.url)])
        yield found


@in_one_loop
class TestTheMatrix:
    async def test_ends_as_it_should_in_each_case(self, world: World, saw: Callable[[str], None]) -> None:
        begun, all_cases = time.monotonic(), [*cases()]
        await world.start(all_cases, "calm")
        ends = await world.ends("calm", len(all_cases))
        check(world.ledger, "calm", ends)
        saw(f"{len(ends)} runs in {time.monotonic() - begun:.0f} s: {dict(Counter(ends.values()))}")

    async def test_ends_parents_and_children_together(self, world: World, saw: Callable[[str], None]) -> None:
        begun, all_cases = time.monotonic(), [*child_cases()]
        cancelling = asyncio.create_task(world.cancel(all_cases, CALM))
        await world.start(all_cases, CALM)
        await cancelling
        ends = await world.ends(CALM, len(all_cases))
        check_children(world.ledger, CALM, ends)
        saw(f"{len(ends)} runs in {time.monotonic() - begun:.0f} s: {dict(Counter(ends.values()))}")

    async def test_goes_on_up_to_the_parents_when_an_operator_has_it_tried_again(
        self, world: World, saw: Callable[[str], None]
    ) -> None:
        roots = len([*child_cases()])
        before = await world.ends(CALM, roots)
        stuck = [run for run, status in before.items() if status == "parked" and not has_parked_below(run, before)]
        assert stuck
        world.ledger.mended = True
        for run_id in stuck:
            await world.ask(f"/v1/runs/{run_id}/retry-compensation")
        ends = await world.ends(CALM, roots, OVER)
        world.ledger.mended = False
        check_children(world.ledger, CALM, ends, mended=True)
        saw(f"{len(stuck)} parked runs tried again: {dict(Counter(ends.values()))}")

    async def test_ends_as_it_should_when_leases_are_lost_again_and_again(
        self, world: World, saw: Callable[[str], None]
    ) -> None:
        begun, some, ended = time.monotonic(), [*cases()][::3], 0
        starting = asyncio.create_task(world.start(some, "leases"))
        for _ in range(LEASES_LOST):
            await asyncio.sleep(0.8)
            ended += await world.end_lease_sessions()
        await starting
        ends = await world.ends("leases", len(some))
        check(world.ledger, "leases", ends)
        saw(
            f"{ended} sessions ended, {time.monotonic() - begun:.0f} s, {len(ends)} runs: {dict(Counter(ends.values()))}"
        )

    @pytest.mark.parametrize("point", CRASH_POINTS)
    async def test_ends_as_it_should_whoever_is_killed(
        self, world: World, point: str, saw: Callable[[str], None]
    ) -> None:
        """Some of the cases, while a process dies there again and again."""
        begun, number, label = time.monotonic(), CRASH_POINTS.index(point), point.replace(".", "-")
        some = [case for place, case in enumerate(cases()) if place % SHARE == number % SHARE]
        children = [case for place, case in enumerate(child_cases()) if place % SHARE == number % SHARE]
        kills = 0
        work = (
            world.start(some, label),
            world.start(children, f"{label}-children"),
            world.cancel(children, f"{label}-children"),
        )
        working = asyncio.gather(*work)
        part = DIES[point.partition(".")[0]]
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
        await working
        ends = await world.ends(label, len(some))
        check(world.ledger, label, ends)
        ends_of_children = await world.ends(f"{label}-children", len(children))
        check_children(world.ledger, f"{label}-children", ends_of_children)
        saw(
            f"{kills} kills, {time.monotonic() - begun:.0f} s, {len(ends)} runs: {dict(Counter(ends.values()))},"
            f" {len(ends_of_children)} of parents and children: {dict(Counter(ends_of_children.values()))}"
        )

    async def test_makes_no_task_happen_twice(self, world: World) -> None:
        assert await world.made_twice() == 0
