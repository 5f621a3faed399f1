"""Where consumers stand, what operators want of them, and the events that they parked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from infra.adapters.event_store import Record
from infra.errors import Fault, NotFound

Connection = psycopg.AsyncConnection[Any]

_ENSURE = "INSERT INTO checkpoint (consumer, shard, position, version, kind) VALUES (%s, %s, 0, %s, %s) ON CONFLICT DO NOTHING"
_READ = "SELECT position, version, paused, rebuild FROM checkpoint WHERE consumer = %s AND shard = %s"
_MOVE = """
UPDATE checkpoint SET position = %s WHERE consumer = %s AND shard = %s AND position = %s AND position <= %s
RETURNING consumer, shard, position
"""
_STAY = "SELECT %s::text AS consumer, %s::int AS shard, %s::bigint AS position"
_RESTART = "UPDATE checkpoint SET position = %s, version = %s, rebuild = false WHERE consumer = %s AND shard = %s AND position = %s"
_PARK = """
INSERT INTO dead_letter (consumer, shard, position, tenant_id, stream_id, type, cause, attempts)
SELECT m.consumer, m.shard, u.position, u.tenant_id, u.stream_id, u.type, u.cause, 1
FROM moved m, unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[]) AS u (position, tenant_id, stream_id, type, cause)
ON CONFLICT (consumer, shard, position)
DO UPDATE SET cause = EXCLUDED.cause, attempts = dead_letter.attempts + 1, wanted = 'park'
"""
_BLOCKED = "SELECT DISTINCT tenant_id, stream_id FROM dead_letter WHERE consumer = %s AND shard = %s"
# Where anything of a stream is wanted, all that is parked of it comes up, in order: nothing may overtake what stays behind.
_WANTED = """
SELECT position, tenant_id, stream_id, CASE wanted WHEN 'park' THEN 'retry' ELSE wanted END FROM dead_letter d
WHERE consumer = %s AND shard = %s AND EXISTS (
    SELECT 1 FROM dead_letter w WHERE w.wanted <> 'park'
    AND (w.consumer, w.shard, w.tenant_id, w.stream_id) = (d.consumer, d.shard, d.tenant_id, d.stream_id)
) ORDER BY position
"""
_KEEP_PARKED = """
UPDATE dead_letter SET wanted = 'park'
WHERE consumer = %s AND shard = %s AND tenant_id = %s AND stream_id = %s AND wanted <> 'park'
"""
_FORGET = """
DELETE FROM dead_letter d USING moved m WHERE (d.consumer, d.shard) = (m.consumer, m.shard) AND d.position = ANY (%s::bigint[])
"""
_BOARD = """
SELECT c.consumer, c.position, c.version, c.paused, c.rebuild, EXISTS (
    SELECT FROM dead_letter d WHERE d.consumer = c.consumer AND d.shard = c.shard AND d.wanted <> 'park'
) FROM checkpoint c WHERE c.shard = %s
"""
_LIST = "SELECT consumer, shard, kind, position, paused, rebuild FROM checkpoint ORDER BY kind, consumer"
_LETTERS = """
SELECT consumer, position, tenant_id, stream_id, type, cause, attempts, parked_at, wanted
FROM dead_letter WHERE shard = %s ORDER BY consumer, position LIMIT %s
"""

_COUNTS = "SELECT consumer, count(*) FROM dead_letter WHERE shard = %s GROUP BY consumer"

BEHIND_PARKED = "an earlier event of this stream is parked"


CAUSE_CHARACTERS_MAX = 2_000


class Effect(NamedTuple):
    """A statement that changes something with a checkpoint: it takes the row `moved` (consumer, shard, position) or nothing.

    `INSERT INTO ... SELECT ... FROM moved, ...` or `DELETE ... USING moved ...`. All effects of a move are one SQL statement: they
    see what was before it, and no two of them may touch one row.
    """

    sql: str
    parameters: Sequence[Any]


def park(parked: Sequence[tuple[Record, str]]) -> Effect:
    """Put events aside, each with its cause."""
    rows = [(r.position, r.tenant_id, r.stream_id, r.type, cause[:CAUSE_CHARACTERS_MAX]) for r, cause in parked]
    return Effect(_PARK, [list(column) for column in zip(*rows, strict=True)])


def forget(positions: Sequence[int]) -> Effect:
    """Let parked events go."""
    return Effect(_FORGET, (list(positions),))


class CheckpointMoved(Fault):
    """Another runner of this consumer has moved its checkpoint: this one is late and stops."""


class ConsumerUnknown(NotFound):
    """There is no consumer of that name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a consumer stands and what operators want of it."""

    position: int
    version: int
    paused: bool
    rebuild: bool


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """One consumer, for people; `kind` is projection or saga."""

    consumer: str
    shard: int
    kind: str
    position: int
    paused: bool
    rebuild: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer could not handle, or that came after such a one in the same stream."""

    consumer: str
    position: int
    tenant_id: str
    stream_id: str
    type: str
    cause: str
    attempts: int
    parked_at: datetime
    wanted: str


class Checkpoints:
    """The rows of one consumer, on a connection that the caller has and whose transactions are the caller's."""

    def __init__(self, consumer: str, shard: int, version: int, kind: str) -> None:
        self.consumer, self.shard, self.version, self.kind = consumer, shard, version, kind

    async def read(self, connection: Connection) -> Checkpoint:
        await connection.execute(_ENSURE, (self.consumer, self.shard, self.version, self.kind))
        row = await (await connection.execute(_READ, (self.consumer, self.shard))).fetchone()
        assert row is not None
        return Checkpoint(*row)

    async def move(self, connection: Connection, before: int, after: int, effects: Sequence[Effect] = ()) -> None:
        """Compare and set, and the effects with it.

        Raises CheckpointMoved, with nothing done, if another runner was faster or the checkpoint would go back.
        """
        if not await _with_effects(connection, _MOVE, (after, self.consumer, self.shard, before, after), effects):
            raise CheckpointMoved

    async def write(self, connection: Connection, position: int, effects: Sequence[Effect]) -> None:
        """The effects alone, in a transaction of the caller's that moves the checkpoint in another way."""
        if effects:
            await _with_effects(connection, _STAY, (self.consumer, self.shard, position), effects)

    async def restart(self, connection: Connection, before: int, after: int) -> None:
        """After a rebuild: stand at `after` with the current version."""
        cursor = await connection.execute(_RESTART, (after, self.version, self.consumer, self.shard, before))
        if cursor.rowcount != 1:
            raise CheckpointMoved

    async def blocked(self, connection: Connection) -> set[tuple[str, str]]:
        """The streams that have a parked event: what follows in them is parked as well."""
        return set(await (await connection.execute(_BLOCKED, (self.consumer, self.shard))).fetchall())

    async def wanted(self, connection: Connection) -> list[tuple[int, str, str, str]]:
        """What to retry or discard, as operators want it: position, tenant, stream, what."""
        return await (await connection.execute(_WANTED, (self.consumer, self.shard))).fetchall()

    async def keep_parked(self, connection: Connection, tenant_id: str, stream_id: str) -> None:
        """Nothing is wanted of what is parked of a stream any more."""
        await connection.execute(_KEEP_PARKED, (self.consumer, self.shard, tenant_id, stream_id))


class Board:
    """What operators want of all consumers of a process, asked in one query for all of them, at most every `fresh_s`.

    Whoever finds it old asks, on a connection of its own; the others take what is known until the answer is there. So it is a hint.
    """

    def __init__(self, shard: int, fresh_s: float) -> None:
        self._shard = shard
        self._fresh_s = fresh_s
        self._asked_at = float("-inf")
        self._known: dict[str, tuple[Checkpoint, bool]] = {}

    async def look(self, connection: Connection, consumer: str) -> tuple[Checkpoint, bool] | None:
        """A consumer's checkpoint, and whether anything is wanted of what it parked; None if nothing is known of it yet."""
        now = asyncio.get_running_loop().time()
        if now >= self._asked_at + self._fresh_s:
            self._asked_at = now
            rows = await (await connection.execute(_BOARD, (self._shard,))).fetchall()
            self._known = {name: (Checkpoint(*checkpoint), wanted) for name, *checkpoint, wanted in rows}
        return self._known.get(consumer)


async def _with_effects(
    connection: Connection, moved: str, parameters: Sequence[Any], effects: Sequence[Effect]
) -> bool:
    """One statement, and so one round trip and one commit; False if there was no row `moved`."""
    parts = [f"effect_{number} AS ({effect.sql})" for number, effect in enumerate(effects)]
    query = f"WITH {', '.join([f'moved AS ({moved})', *parts])} SELECT position FROM moved"
    given = [*parameters, *(value for effect in effects for value in effect.parameters)]
    return await (await connection.execute(query.encode(), given)).fetchone() is not None


class Operations:
    """What an operator asks of consumers; they see it within `consumer_control_poll_s`, or twice that."""

    def __init__(self, database_url: str, shard: int = 0) -> None:
        self._url = database_url
        self._shard = shard

    async def _fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return await (await connection.execute(query.encode(), parameters)).fetchall()

    async def _change(self, query: str, parameters: Sequence[Any]) -> int:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return (await connection.execute(query.encode(), parameters)).rowcount

    async def list_consumers(self) -> list[ConsumerStatus]:
        return [ConsumerStatus(*row) for row in await self._fetch(_LIST)]

    async def require_consumer(self, consumer: str) -> None:
        """Raises ConsumerUnknown where neither a consumer nor a parked event has that name."""
        if consumer not in {
            *(found.consumer for found in await self.list_consumers()),
            *await self.count_dead_letters(),
        }:
            raise ConsumerUnknown

    async def list_dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return [DeadLetter(*row) for row in await self._fetch(_LETTERS, (self._shard, limit))]

    async def count_dead_letters(self) -> dict[str, int]:
        """How many each consumer of the shard has, of those that have any."""
        return dict(await self._fetch(_COUNTS, (self._shard,)))

    async def set_paused(self, consumer: str, paused: bool) -> None:
        query = "UPDATE checkpoint SET paused = %s WHERE consumer = %s AND shard = %s"
        if not await self._change(query, (paused, consumer, self._shard)):
            raise ConsumerUnknown

    async def request_rebuild(self, consumer: str) -> None:
        query = "UPDATE checkpoint SET rebuild = true WHERE consumer = %s AND shard = %s AND kind = 'projection'"
        if not await self._change(query, (consumer, self._shard)):
            raise ConsumerUnknown("There is no projection of that name (a saga is not built anew).")

    async def retry_dead_letters(self, consumer: str, stream_id: str | None = None) -> int:
        """Have the parked events of a stream (or all) handled again, in order; gives their number. Raises ConsumerUnknown."""
        return await self._want("retry", consumer, stream_id)

    async def discard_dead_letters(self, consumer: str, stream_id: str | None = None) -> int:
        """Have the parked events of a stream (or all) forgotten; gives their number. Raises ConsumerUnknown."""
        return await self._want("discard", consumer, stream_id)

    async def _want(self, what: str, consumer: str, stream_id: str | None) -> int:
        query = """
        UPDATE dead_letter SET wanted = %s
        WHERE consumer = %s AND shard = %s AND (%s::text IS NULL OR stream_id = %s)
        """
        count = await self._change(query, (what, consumer, self._shard, stream_id, stream_id))
        if not count:
            await self.require_consumer(consumer)
        return count
