"""Fires the timers of sagas: sends each one's command once its time has come.

Guarantee: never before its time, at least once, and in effect once, since a timer's command always has the same id. A timer that
cannot be fired is tried again later; it holds up no other.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from pydantic import ValidationError

from events.envelope import Origin
from infra.adapters.lease import PostgresLease, while_held
from infra.adapters.postgres_connection import WatchedConnection
from infra.engines.command_bus import CommandBus
from infra.errors import Fault, Rejection, VersionConflict
from infra.faults import crash_point
from infra.patterns.decider import Command
from infra.settings import Settings

log = structlog.get_logger()

_DUE = """
SELECT timer_id, tenant_id, saga, command, fields, causation_id, correlation_id FROM timer
WHERE shard = %s AND due_at <= now() ORDER BY due_at LIMIT %s
"""
_SOON = """
SELECT tenant_id, command, fields, due_at FROM timer
WHERE shard = %s AND due_at > %s AND due_at <= now() + make_interval(secs => %s) ORDER BY due_at LIMIT %s
"""
_FIRED = "DELETE FROM timer WHERE shard = %s AND timer_id = ANY (%s)"
_LATER = "UPDATE timer SET due_at = now() + make_interval(secs => %s) WHERE shard = %s AND timer_id = ANY (%s)"
_LATER_S = 60.0
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Timers:
    """Runs in the sagas' process; one is active for each shard."""

    def __init__(
        self, database_url: str, bus: CommandBus, commands: Mapping[str, type[Command]], settings: Settings
    ) -> None:
        self._url = database_url
        self._bus = bus
        self._commands = commands
        self._settings = settings
        self._looked_until = _LONG_AGO

    async def run(self) -> None:
        """Fire for ever; after a fault begin again with what is still due."""
        name, poll_s = f"timers/{self._settings.shard}", self._settings.consumer_lease_poll_s
        lease = PostgresLease(self._url, name, poll_s=poll_s)
        while True:
            try:
                await lease.acquire()
                await while_held(lease, self._run_leased())
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError, Fault) as broken:
                log.warning("timers begin again", cause=type(broken).__name__)
            finally:
                await lease.release()
            await asyncio.sleep(1.0)

    async def _run_leased(self) -> None:
        async with await WatchedConnection.connect(self._url, autocommit=True) as connection:
            while True:
                if not await self.fire(connection) and not await self.look_ahead(connection):
                    await asyncio.sleep(self._settings.timer_poll_s)

    async def fire(self, connection: psycopg.AsyncConnection[Any]) -> int:
        """Fire what is due, up to `timer_batch_max`; gives their number. Raises a Fault: then all of it is still due."""
        due = await (await connection.execute(_DUE, (self._settings.shard, self._settings.timer_batch_max))).fetchall()
        if not due:
            return 0
        fired: list[str] = []
        broken: dict[str, Exception] = {}
        sending: dict[str, tuple[Command, Origin, bool]] = {}
        for timer_id, tenant_id, saga, name, fields, causation_id, correlation_id in due:
            origin = Origin(tenant_id, f"saga:{saga}", f"{timer_id}/fired", correlation_id, causation_id)
            try:
                sending[timer_id] = (self._commands[name].model_validate(fields), origin, True)
            except (KeyError, ValidationError) as unknown:
                broken[timer_id] = unknown
        crash_point("timer.before_command")
        answers = await self._bus.execute_many(list(sending.values()))
        for timer_id, answer in zip(sending, answers, strict=True):
            if isinstance(answer, Fault):
                raise answer
            if isinstance(answer, VersionConflict):
                # Too many wrote to that stream at once: it is still due.
                continue
            if isinstance(answer, Exception) and not isinstance(answer, Rejection):
                broken[timer_id] = answer
            else:
                fired.append(timer_id)
        crash_point("timer.after_command")
        await connection.execute(_FIRED, (self._settings.shard, fired))
        await self._postpone(connection, broken)
        return len(due)

    async def look_ahead(self, connection: psycopg.AsyncConnection[Any]) -> int:
        """Have at hand what the next timers are about, up to `timer_batch_max`, so that many can fire at once; gives their number."""
        shard, batch_max, ahead_s = self._settings.shard, self._settings.timer_batch_max, self._settings.timer_ahead_s
        soon = await (await connection.execute(_SOON, (shard, self._looked_until, ahead_s, batch_max))).fetchall()
        commands: list[tuple[str, Command]] = []
        for tenant_id, name, fields, due_at in soon:
            self._looked_until = due_at
            with contextlib.suppress(KeyError, ValidationError):
                commands.append((tenant_id, self._commands[name].model_validate(fields)))
        await self._bus.prefetch(commands)
        return len(soon)

    async def _postpone(self, connection: psycopg.AsyncConnection[Any], broken: Mapping[str, Exception]) -> None:
        for timer_id, cause in broken.items():
            log.error("timer cannot be fired", timer=timer_id, cause=f"{type(cause).__name__}: {cause}")
        if broken:
            await connection.execute(_LATER, (_LATER_S, self._settings.shard, list(broken)))
