"""The system that plays the matrix, the ledger that its runs call, and how its runs have ended."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.faults.child_matrix import ChildCase
from tests.faults.ledger import Ledger
from tests.faults.saga_matrix import Case
from tests.faults.system import BreakableSystem

TENANT = "matrix"
OVER = frozenset({"completed", "faulted", "compensated", "cancelled"})
ENDED = OVER | {"parked"}
END_S_MAX = 150.0
REQUEST_S_MAX = 30.0
_RUNS = "SELECT run_id, status FROM run_directory WHERE tenant_id = %s AND starts_with(run_id, %s)"
_END_LEASES = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT DISTINCT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS holders
"""
_MADE_TWICE = """
SELECT count(*) FROM (
    SELECT stream_id, data->>'task', type FROM event
    WHERE tenant_id = %s AND type IN ('run.task_completed', 'run.task_compensated', 'run.task_faulted')
    GROUP BY 1, 2, 3 HAVING count(*) > 1
) AS twice
"""

Statuses = Mapping[str, str]
"""Where runs stand, by their ids; a child's id is its parent's with its task behind it."""


def below(run_id: str, statuses: Statuses) -> list[str]:
    """The runs below one."""
    return [other for other in statuses if other.startswith(run_id + ".")]


def has_parked_below(run_id: str, statuses: Statuses) -> bool:
    return any(statuses[other] == "parked" for other in below(run_id, statuses))


@dataclass(slots=True)
class World:
    """A system, the ledger that its runs call, and where latches lie. Runs are called `<label>.<case>`."""

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

    async def register(self, definitions: Sequence[dict[str, Any]]) -> None:
        for definition in definitions:
            await self.ask("/v1/workflows", **definition)

    async def start(self, all_cases: Sequence[Case | ChildCase], label: str) -> None:
        for case in all_cases:
            run_id = f"{label}.{case.name}"
            await self.ask("/v1/runs", run_id=run_id, workflow_id=f"matrix.{case.name}")

    async def cancel(self, all_cases: Sequence[ChildCase], label: str) -> None:
        """Cancel those that are to be cancelled, with compensation, once their innermost runs have done what they do."""
        open_cases = {f"{label}.{case.name}": f"{case.steps}" for case in all_cases if case.failing == "cancelled"}
        while open_cases:
            done = {(run.split(".")[0] + "." + run.split(".")[1], step) for run, step, what in self.ledger.order}
            for run_id in [run_id for run_id, step in open_cases.items() if (run_id, step) in done]:
                await self.ask(f"/v1/runs/{run_id}/cancel", compensate=True)
                del open_cases[run_id]
            await asyncio.sleep(0.05)

    async def ends(self, label: str, roots: int, ended: frozenset[str] = ENDED) -> dict[str, str]:
        """How the runs of a label have ended, once so many have been started and all of them have."""
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(END_S_MAX):
                while sum(run.count(".") == 1 for run in found) < roots or not ended.issuperset(found.values()):
                    await asyncio.sleep(0.5)
                    found = await self._statuses(label) or found
        except TimeoutError:
            at_work = {run: status for run, status in found.items() if status not in ended}
            raise AssertionError(f"{len(found)} runs, at work: {at_work}") from None
        return found

    async def _statuses(self, label: str) -> dict[str, str]:
        try:
            async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
                return dict(await (await connection.execute(_RUNS, (TENANT, f"{label}."))).fetchall())
        except psycopg.OperationalError:
            return {}

    async def end_lease_sessions(self) -> int:
        """Cut off whoever holds a lease: all consumers of a process are cancelled in the middle of what they do, and begin again."""
        async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
            row = await (await connection.execute(_END_LEASES)).fetchone()
        return int(row[0]) if row else 0

    async def made_twice(self) -> int:
        async with await psycopg.AsyncConnection.connect(self.system.database_url) as connection:
            row = await (await connection.execute(_MADE_TWICE, (TENANT,))).fetchone()
        assert row is not None
        return int(row[0])
