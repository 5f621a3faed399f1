"""A lease: at most one holder of a name at a time, by a Postgres advisory lock.

Guarantee: when the holder is killed, stopped or cut off, another one has the lease within `stale_s` plus a few polls. It is no
fence: a holder that was stopped believes in its lease for a moment when it wakes, so what it writes must be fenced itself.
"""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Coroutine
from typing import Any, Protocol

import psycopg
import structlog

from infra.cancellation import end
from infra.errors import Fault

log = structlog.get_logger()

_TRY = "SELECT pg_try_advisory_lock(%s)"
_ALIVE = "SELECT 1"
# A holder asks something every `poll_s`. A process that was stopped keeps its connection and its lock, but asks nothing.
_EVICT = """
SELECT count(pg_terminate_backend(a.pid))
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %s
  AND a.state_change < clock_timestamp() - make_interval(secs => %s)
"""
_BROKEN = (psycopg.Error, OSError, TimeoutError)


class LeaseLost(Fault):
    """The lease is not ours any more; another process may hold it."""


class Lease(Protocol):
    """`lost` is set while the lease is not held."""

    lost: asyncio.Event

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        ...

    async def confirm(self) -> None:
        """Raises LeaseLost unless the lease is ours at this moment."""
        ...

    async def release(self) -> None: ...

    @property
    def waiting_well(self) -> bool:
        """Whether `acquire` is waiting and can see the present holder."""
        ...


async def while_held(lease: Lease, work: Coroutine[Any, Any, None]) -> None:
    """Work as long as an acquired lease is ours; raises what the work raises, and LeaseLost when the lease is gone."""
    working, lost = asyncio.ensure_future(work), asyncio.ensure_future(lease.lost.wait())
    try:
        await asyncio.wait((working, lost), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LeaseLost
        working.result()
    finally:
        for task in (working, lost):
            task.cancel()
        await asyncio.gather(working, lost, return_exceptions=True)


class PostgresLease:
    """Needs a connection of its own to Postgres itself, not through a pooler that shares sessions."""

    def __init__(self, database_url: str, name: str, *, poll_s: float = 1.0, stale_s: float = 5.0) -> None:
        self.lost = asyncio.Event()
        self.lost.set()
        self._url = database_url
        self._name = name
        # 63 bits: the lock's key is signed, and pg_locks shows it in two unsigned halves.
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._polled_at = float("-inf")

    @property
    def waiting_well(self) -> bool:
        return self.lost.is_set() and asyncio.get_running_loop().time() < self._polled_at + 3 * self._poll_s

    async def acquire(self) -> None:
        while not await self._try():
            await asyncio.sleep(self._poll_s * random.uniform(0.8, 1.2))
        self.lost.clear()
        self._heartbeat = asyncio.create_task(self._keep(), name="lease")

    async def _try(self) -> bool:
        """One attempt; a holder that gives no sign of life is thrown out for the next one."""
        try:
            async with asyncio.timeout(self._stale_s):
                if self._connection is None or self._connection.closed:
                    self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                row = await (await self._connection.execute(_TRY, (self._key,))).fetchone()
                self._polled_at = asyncio.get_running_loop().time()
                if row is not None and row[0]:
                    return True
                row = await (await self._connection.execute(_EVICT, (self._key, self._stale_s))).fetchone()
                if row is not None and row[0]:
                    log.warning("lease holder evicted", lease=self._name)
        except _BROKEN:
            await self._disconnect()
        return False

    async def _keep(self) -> None:
        """Give signs of life until that fails."""
        try:
            while True:
                await asyncio.sleep(self._poll_s)
                await self.confirm()
        except LeaseLost:
            log.warning("lease lost", lease=self._name)

    async def confirm(self) -> None:
        try:
            if self._connection is None or self.lost.is_set():
                raise LeaseLost
            async with asyncio.timeout(self._stale_s):
                await self._connection.execute(_ALIVE)
        except (*_BROKEN, LeaseLost) as broken:
            self.lost.set()
            raise LeaseLost from broken

    async def release(self) -> None:
        """The lock ends with its connection."""
        self.lost.set()
        if self._heartbeat is not None:
            await end(self._heartbeat)
        await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_BROKEN):
                await connection.close()
