"""Work for a system while it is broken: the demo's own scenario, again and again, and tasks whose deadlines come."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest

from infra.ids import new_id
from read_side.demo import play as demo
from read_side.demo.checks import Check, check_all
from read_side.demo.client import CommandSender, command
from read_side.demo.evidence import gather_evidence
from read_side.demo.invented import invented_scenario
from read_side.demo.pace import SLOW
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import Scenario
from read_side.demo.totals import totals_of
from tests.faults.recording import Answers, recording_sender
from tests.faults.system import BreakableSystem

PACE = replace(SLOW, submission_s=8.0, step_pause_s=0.05, pipeline_pause_s=2.0, work_s_max=150.0)
DEADLINE_S = 1.0
DEADLINE_PAUSE_S = 0.25
FINISH_S_MAX = 160.0

_UNFINISHED = """
SELECT 'tasks', status, count(*), min(task_id) FROM task_board WHERE tenant_id = %(tenant)s GROUP BY status
UNION ALL SELECT 'jobs', status, count(*), min(job_id) FROM job_board WHERE tenant_id = %(tenant)s GROUP BY status
UNION ALL SELECT 'nodes', status, count(*), min(node_id) FROM node_board WHERE tenant_id = %(tenant)s GROUP BY status
"""


def small_scenario() -> Scenario:
    """A part of the invented one: enough for every saga and every read model."""
    whole = invented_scenario()
    return replace(whole, runs=whole.runs[:9], graphs=whole.graphs[:2], pods=whole.pods[:120])


class Load:
    """`running` while it works; `answers` are those that the command API gave."""

    def __init__(self, system: BreakableSystem) -> None:
        self.answers = Answers()
        self.tenants: list[str] = []
        self.deadline_tenant = f"deadlines-{new_id()}"
        self.deadlines = 0
        self._system = system
        self._scenario = small_scenario()
        self._enough = asyncio.Event()
        self._work: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    def sender(self, tenant_id: str, actor: str) -> CommandSender:
        return recording_sender(self.answers, self._system.url("write_side"), tenant_id, actor)

    @asynccontextmanager
    async def running(self, *others: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Work while the block lasts, or until `finish`; what breaks down in here is raised at the end."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demo, "CommandSender", partial(recording_sender, self.answers))
            self._work = [asyncio.create_task(each) for each in (self._play_rounds(), self._set_deadlines())]
            self._others = [asyncio.create_task(each) for each in others]
            try:
                yield
            finally:
                await _end(self._work + self._others)

    async def finish(self) -> None:
        """Bring what was begun to its end, and begin nothing more."""
        self._enough.set()
        async with asyncio.timeout(FINISH_S_MAX):
            await asyncio.gather(*self._work)
        await _end(self._others)

    async def _play_rounds(self) -> None:
        for number in count(1):
            tenant_id = f"round-{number}-{new_id()}"
            in_time = await demo.play(self._scenario, self._system.target(tenant_id), PACE, Bars(shown=False))
            assert in_time, (
                f"round {number} did not end within {PACE.work_s_max:g} s: {await self._unfinished(tenant_id)}"
            )
            self.tenants.append(tenant_id)
            if self._enough.is_set():
                return

    async def _unfinished(self, tenant_id: str) -> str:
        """What a round still waits for, for people."""
        async with await psycopg.AsyncConnection.connect(self._system.database_url) as connection:
            found = await (await connection.execute(_UNFINISHED, {"tenant": tenant_id})).fetchall()
        return ", ".join(f"{number} {noun} {status} (like {example})" for noun, status, number, example in found)

    async def _set_deadlines(self) -> None:
        """Tasks that nobody works on."""
        async with self.sender(self.deadline_tenant, "customer") as sender:
            create = command("CreateAgent", new_id(), agent_id="idle", name="Idle", agent_type="reactive")
            await sender.send(create)
            while not self._enough.is_set():
                fields = {"agent_id": "idle", "title": "never done", "timeout_s": DEADLINE_S}
                await sender.send_accepted(command("RequestTask", new_id(), **fields))
                self.deadlines += 1
                await asyncio.sleep(DEADLINE_PAUSE_S)

    async def failed_checks(self) -> list[Check]:
        """What the query API says otherwise than the scenario, over all rounds."""
        totals, failed = totals_of(self._scenario), []
        for tenant_id in self.tenants:
            async with QueryClient(self._system.url("read_side"), tenant_id) as queries:
                seen = await gather_evidence(queries)
            failed += [check for check in check_all(self._scenario, totals, seen) if not check.ok]
        return failed


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel what goes on; raise what broke down."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
