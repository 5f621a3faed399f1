"""What must hold in every log, counted from the tables themselves: anything but 0 in a line of faults is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import psycopg
from psycopg.rows import DictRow, dict_row

from read_side.demo.log_audit import LogAudit
from read_side.demo.queries import WireEvent

_ATTEMPTS = """
WITH attempt AS (
    SELECT tenant_id, stream_id, data->>'attempt' AS attempt,
        count(*) FILTER (WHERE type = 'job.assigned') AS assigned,
        count(*) FILTER (WHERE type = 'job.started') AS started,
        count(*) FILTER (WHERE type IN ('job.completed', 'job.failed', 'job.cancelled', 'job.attempt_failed')) AS ended
    FROM event WHERE type LIKE 'job.%' AND data->>'attempt' IS NOT NULL
    GROUP BY tenant_id, stream_id, attempt
), task AS (
    SELECT tenant_id, stream_id, count(*) AS assigned,
        (SELECT count(*) FROM event e WHERE e.tenant_id = a.tenant_id AND e.stream_id = a.stream_id
            AND e.type = 'task.timed_out') AS timed_out
    FROM event a WHERE type = 'task.assigned' GROUP BY tenant_id, stream_id
)
SELECT
    (SELECT count(*) FILTER (WHERE assigned > 0) FROM attempt) AS attempts_assigned,
    (SELECT count(*) FILTER (WHERE assigned > 1) FROM attempt) AS attempts_assigned_twice,
    (SELECT count(*) FILTER (WHERE started > 1) FROM attempt) AS attempts_started_twice,
    (SELECT count(*) FILTER (WHERE ended > 1) FROM attempt) AS attempts_ended_twice,
    (SELECT count(*) FROM task) AS tasks_assigned,
    (SELECT count(*) FILTER (WHERE assigned > 1) FROM task) AS tasks_assigned_twice,
    (SELECT count(*) FILTER (WHERE timed_out > 1) FROM task) AS tasks_timed_out_twice,
    (SELECT count(*) FROM timer) AS timers
"""
# A remembered command is one piece of the log, and nothing else there has its id.
_COMMANDS = """
SELECT count(*) AS commands_astray FROM command c LEFT JOIN (
    SELECT tenant_id, metadata->>'command_id' AS command_id, count(*) AS events, min(position) AS first, max(position) AS last
    FROM event GROUP BY 1, 2
) e ON e.tenant_id = c.tenant_id AND e.command_id = c.command_id
WHERE COALESCE(e.events, 0) <> c.events OR e.last <> c.position OR e.first <> c.position - c.events + 1
"""
_LOG = """
SELECT
    (SELECT position FROM log_head) AS head,
    (SELECT position FROM log_head) - (SELECT count(*) FROM event) AS gaps,
    (SELECT count(*) FROM event) - (SELECT count(DISTINCT id) FROM event) AS ids_twice,
    (SELECT count(*) FROM stream s WHERE s.version IS DISTINCT FROM
        (SELECT max(stream_version) FROM event e WHERE e.tenant_id = s.tenant_id AND e.stream_id = s.stream_id)
    ) AS streams_astray
"""
_EVENTS = """
SELECT tenant_id, position, type, stream_id AS subject, stream_version AS streamversion, data FROM event ORDER BY position
"""
_ACKNOWLEDGED = """
SELECT count(*) FROM unnest(%s::uuid[], %s::bigint[]) AS a (id, position)
WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.position = a.position AND e.id = a.id)
"""

HARMLESS = frozenset({"head", "attempts_assigned", "tasks_assigned", "timers"})


@dataclass(frozen=True, slots=True)
class Findings:
    """What a log holds, and what is wrong with it: positions, ids, versions, commands, attempts, tasks, rooms of nodes."""

    head: int
    gaps: int
    ids_twice: int
    streams_astray: int
    commands_astray: int
    attempts_assigned: int
    attempts_assigned_twice: int
    attempts_started_twice: int
    attempts_ended_twice: int
    tasks_assigned: int
    tasks_assigned_twice: int
    tasks_timed_out_twice: int
    timers: int
    version_gaps: int
    over_capacity: int
    unmatched_releases: int

    @property
    def faults(self) -> Mapping[str, int]:
        """What must be 0 and is not."""
        counted = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: count for name, count in counted.items() if count and name not in HARMLESS}

    @property
    def doubled(self) -> int:
        """Effects that came twice."""
        return sum(count for name, count in self.faults.items() if name.endswith("_twice"))


async def audit(database_url: str) -> Findings:
    """Count everything in one snapshot."""
    counted: dict[str, int] = {}
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        for query in (_LOG, _COMMANDS, _ATTEMPTS):
            counted |= await (await connection.execute(query)).fetchone() or {}
        audits = await _audits(connection)
    return Findings(
        **counted,
        version_gaps=sum(audit.version_gaps for audit in audits),
        over_capacity=sum(audit.over_capacity for audit in audits),
        unmatched_releases=sum(audit.unmatched_releases for audit in audits),
    )


async def _audits(connection: psycopg.AsyncConnection[DictRow]) -> Sequence[LogAudit]:
    """One for each tenant: the same streams may be there in each."""
    audits: dict[str, LogAudit] = {}
    async for row in await connection.execute(_EVENTS):
        audits.setdefault(row["tenant_id"], LogAudit()).see(WireEvent.model_validate(row))
    return list(audits.values())


async def lost(database_url: str, acknowledged: Sequence[tuple[str, int]]) -> int:
    """How many acknowledged events, given by id and position, are not in the log where they were said to be."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        ids, positions = [event_id for event_id, _ in acknowledged], [position for _, position in acknowledged]
        row = await (await connection.execute(_ACKNOWLEDGED, (ids, positions))).fetchone()
    return int(row[0]) if row else len(acknowledged)
