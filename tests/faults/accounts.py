"""Compares what took effect outside with how the runs that asked for it ended, and tells the history of one that does not agree."""

from collections.abc import Iterator

import psycopg

from tests.faults.ledger import Ledger
from tests.faults.matrix_world import Statuses
from tests.faults.system import BreakableSystem

UNDONE = frozenset({"faulted", "compensated"})
_HISTORY = """
SELECT occurred_at, type, data::text FROM event WHERE tenant_id = %s AND stream_id = %s ORDER BY stream_version
"""


def wrongs(ledger: Ledger, statuses: Statuses) -> Iterator[tuple[str, str]]:
    """What must not be: the run, and what is wrong with it. An undoing that found nothing to undo is nothing wrong."""
    of_runs: dict[str, list[tuple[str, str]]] = {run: [] for run in statuses}
    for run, step, what in ledger.order:
        if run in of_runs:
            of_runs[run].append((step, what))
    for run, effects in of_runs.items():
        for step, what in sorted({effect for effect in effects if effects.count(effect) > 1}):
            yield run, f"{what} of step {step} took effect {effects.count((step, what))} times"
        if statuses[run] not in UNDONE:
            continue
        for place, (step, what) in enumerate(effects):
            if what == "do" and (step, "undo") not in effects[place:]:
                late = " after it was undone" if (step, "undo") in effects else " and was not undone"
                yield run, f"step {step} took effect{late}, and the run is {statuses[run]}"


async def account_of(system: BreakableSystem, tenant_id: str, ledger: Ledger, run: str) -> str:
    """A run's events and what the ledger heard of it, each with its time, in order."""
    async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
        events = await (await connection.execute(_HISTORY, (tenant_id, f"run-{run}"))).fetchall()
    lines = [(at, f"    {type} {data[:300]}") for at, type, data in events]
    lines += [
        (heard.at, f"  > {heard.what[2]} of step {heard.what[1]}, key {heard.idempotency_key}, answered {heard.status}")
        for heard in ledger.heard
        if heard.what[0] == run
    ]
    return "\n".join(f"{at:%H:%M:%S.%f} {line}" for at, line in sorted(lines))
