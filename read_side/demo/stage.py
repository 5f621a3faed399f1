"""Runs a demo from the first process to the last comparison, on a system of its own or on one that runs already."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx

from infra.cancellation import end
from infra.console import stderr
from infra.embedded.postgres import EmbeddedPostgres
from infra.settings import Settings
from infra.status import system_status
from infra.supervisor import Supervisor
from read_side.demo.chaos import KILLS_BAR, KILLS_MIN, Chaos
from read_side.demo.checks import Check, check_all, check_positions, same
from read_side.demo.evidence import gather_evidence
from read_side.demo.pace import SLOW, SWIFT, Pace
from read_side.demo.play import Target, play
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.report import Report
from read_side.demo.scenario import Scenario
from read_side.demo.totals import Totals
from read_side.demo.trips import Bookings
from read_side.demo.workflow_evidence import gather_workflows
from read_side.demo.workflows import PICTURED, check_workflows, play_workflows, target_of_workflows

TENANT = "default"
START_BAR, CHECK_BAR = "starting Foldwork", "comparing"
# The account that the embedded Postgres runs as under root must be able to pass through.
FOLDER_MODE = 0o711
MIRROR_S_MAX, MIRROR_POLL_S = 15.0, 0.1


@dataclass(slots=True)
class Stage:
    """A scenario, what must come out, and how long each phase took."""

    scenario: Scenario
    totals: Totals
    bars: Bars
    bookings: Bookings = field(default_factory=Bookings)
    seconds: dict[str, float] = field(default_factory=dict)

    async def on_running(self, target: Target) -> Report:
        """Drive a system that others use too: its log is not the demo's alone, so gaps between positions are no fault.

        Raises httpx.RequestError if it is not there: the demo's clients would wait for it for minutes.
        """
        async with httpx.AsyncClient(trust_env=False) as http:
            for url in (target.command_url, target.query_url):
                await http.get(url + "/healthz")
        in_time = await self._play(target, SWIFT)
        return await self._compare(target, [_in_time(in_time, SWIFT)], {}, alone=False)

    async def on_own(self, settings: Settings, *, chaos: bool, keep: bool) -> Report:
        """Start a system in an empty folder, which is deleted afterwards unless something went wrong or it is to be kept."""
        folder, wanted = _new_folder(), True
        try:
            async with self._started(settings, folder) as system:
                target = Target(system.url("write_side"), system.url("read_side"), TENANT)
                report = await (self._in_chaos(system, target) if chaos else self._in_peace(system, target))
            wanted = keep or not report.ok
        except asyncio.CancelledError:
            wanted = keep
            raise
        finally:
            if wanted:
                stderr.print(f"The database and the logs are in {folder}")
            else:
                EmbeddedPostgres(folder, folder / "logs").erase()
                shutil.rmtree(folder, ignore_errors=True)
        return report

    async def _in_peace(self, system: Supervisor, target: Target) -> Report:
        in_time = await self._play(target, SWIFT)
        return await self._compare(target, [_in_time(in_time, SWIFT), *await _inner_checks(system)], {})

    async def _in_chaos(self, system: Supervisor, target: Target) -> Report:
        chaos = Chaos(system, self.bars)
        self.bars.open(KILLS_BAR, KILLS_MIN)
        over = asyncio.Event()
        rage = asyncio.create_task(chaos.rage(over))
        try:
            in_time = await self._play(target, SLOW)
            over.set()
            await rage
        finally:
            rage.cancel()
        more = [_in_time(in_time, SLOW), *await _inner_checks(system), *chaos.checks()]
        return await self._compare(target, more, chaos.kills)

    async def _play(self, target: Target, pace: Pace) -> bool:
        """The input and the workflows, at the same time."""
        with self._timed("work"):
            workflows = asyncio.create_task(play_workflows(target_of_workflows(target), self.bookings, pace, self.bars))
            try:
                in_time = await play(self.scenario, target, pace, self.bars)
                return await workflows and in_time
            finally:
                await end(workflows)

    async def _compare(
        self, target: Target, more: list[Check], kills: Mapping[str, int], *, alone: bool = True
    ) -> Report:
        self.bars.open(CHECK_BAR)
        with self._timed("comparison"):
            async with QueryClient(target.query_url, target_of_workflows(target).tenant) as queries:
                workflows = await gather_workflows(queries)
            async with QueryClient(target.query_url, target.tenant) as queries:
                seen = await gather_evidence(queries)
            positions = [check_positions(seen.log, workflows.log)] if alone else []
            checks = [
                *check_all(self.scenario, self.totals, seen),
                *check_workflows(workflows, self.bookings),
                *positions,
                *more,
            ]
        self.bars.advance(CHECK_BAR)
        events = seen.log.events + workflows.log.events
        pictures = [run.picture() for run in workflows.runs.values() if run.run.run_id in PICTURED]
        return Report(self.scenario.source, checks, self.seconds, events, Counter(kills), pictures)

    @asynccontextmanager
    async def _started(self, settings: Settings, folder: Path) -> AsyncIterator[Supervisor]:
        """Never on servers that somebody has set for his own data."""
        own = settings.model_copy(update={"data_dir": folder, "database_url": None, "nats_url": None})
        system = Supervisor(own, ports="auto")
        self.bars.open(START_BAR)
        with self._timed("start"):
            await system.start()
        self.bars.advance(START_BAR)
        try:
            yield system
        finally:
            await system.stop()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        since = monotonic()
        yield
        self.seconds[phase] = round(monotonic() - since, 2)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="foldwork-demo-"))
    folder.chmod(FOLDER_MODE)
    return folder


def _in_time(in_time: bool, pace: Pace) -> Check:
    return same(f"the work ended within {pace.work_s_max:g} s", True, in_time)


async def _inner_checks(system: Supervisor) -> list[Check]:
    """What only `foldwork status` tells: the mirror of the log, and what read models and sagas have parked."""
    until = monotonic() + MIRROR_S_MAX
    while True:
        status = await system_status(system.settings)
        if (status.mirror is not None and status.mirror == status.head) or monotonic() > until:
            break
        await asyncio.sleep(MIRROR_POLL_S)
    parked = status.dead_letters if status.consumers else None
    return [same("last position of the mirror", status.head, status.mirror), same("dead letters", 0, parked)]
