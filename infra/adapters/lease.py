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

from infra.cancellation import end, unharmed
from infra.errors import Fault

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]

_TRY = "SELECT pg_try_advisory_lock(%s)"
_GIVE_BACK = "SELECT pg_advisory_unlock(%s)"
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
        await end(working, lost)


class LeaseSession:
    """A connection for the leases of one process, to Postgres itself, not through a pooler that shares sessions.

    Their names must differ: Postgres gives one session the same lock twice. They are lost together, with the connection.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._asking: asyncio.Task[Any] | None = None

    async def connection(self) -> Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
            return self._connection

    async def confirm(self, held: Connection) -> None:
        """Fails unless a connection that was opened here is alive; those who ask at the same moment share a question."""
        if held is not self._connection:
            raise LeaseLost
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(held))
        asking = self._asking
        try:
            await unharmed(asking)
        except asyncio.CancelledError:
            if asking.cancelled():
                # The connection was dropped for another lease: this one is lost too, and its holder goes on to say so.
                raise LeaseLost from None
            raise

    async def _ask(self, held: Connection) -> None:
        await held.execute(_ALIVE)

    async def close(self) -> None:
        if self._connection is not None:
            await self.drop(self._connection)

    async def drop(self, connection: Connection) -> None:
        """Close a connection that was opened here; the next who needs one opens another."""
        if connection is self._connection and self._asking is not None:
            # What still waits for an answer of a closed connection may wait for ever.
            await end(self._asking)
        with contextlib.suppress(*_BROKEN):
            await connection.close()


class PostgresLease:
    """Has a connection of its own unless it is given a session that others share."""

    def __init__(
        self,
        database_url: str,
        name: str,
        *,
        poll_s: float = 1.0,
        stale_s: float = 5.0,
        session: LeaseSession | None = None,
    ) -> None:
        self.lost = asyncio.Event()
        self.lost.set()
        self._session = session or LeaseSession(database_url)
        self._shared = session is not None
        self._held: Connection | None = None
        self._name = name
        # 63 bits: the lock's key is signed, and pg_locks shows it in two unsigned halves.
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        self._poll_s = poll_s
        self._stale_s = stale_s
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
        connection = None
        try:
            async with asyncio.timeout(self._stale_s):
                connection = await self._session.connection()
                row = await (await connection.execute(_TRY, (self._key,))).fetchone()
                self._polled_at = asyncio.get_running_loop().time()
                if row is not None and row[0]:
                    self._held = connection
                    return True
                row = await (await connection.execute(_EVICT, (self._key, self._stale_s))).fetchone()
                if row is not None and row[0]:
                    log.warning("lease holder evicted", lease=self._name)
        except _BROKEN:
            # Whether the lock was given is not known: it goes with the connection.
            if connection is not None:
                await self._session.drop(connection)
        return False

    async def _keep(self) -> None:
        """Give signs of life until that fails; all leases of a session at the same moments, so that they share a question."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                await asyncio.sleep(self._poll_s - clock() % self._poll_s)
                await self.confirm()
        except LeaseLost:
            log.warning("lease lost", lease=self._name)

    async def confirm(self) -> None:
        try:
            if self._held is None or self.lost.is_set():
                raise LeaseLost
            async with asyncio.timeout(self._stale_s):
                await self._session.confirm(self._held)
        except (*_BROKEN, LeaseLost) as broken:
            self.lost.set()
            raise LeaseLost from broken

    async def release(self) -> None:
        """The lock ends with its connection if that is not shared or does not answer."""
        self.lost.set()
        if self._heartbeat is not None:
            await end(self._heartbeat)
        held, self._held = self._held, None
        if not self._shared:
            await self._session.close()
        elif held is not None and not held.closed:
            await self._give_back(held)

    async def _give_back(self, held: Connection) -> None:
        try:
            async with asyncio.timeout(self._stale_s):
                await held.execute(_GIVE_BACK, (self._key,))
        except _BROKEN:
            await self._session.drop(held)
