"""Fires the timers of sagas: sends each one's command once its time has come.

Guarantee: never before its time, at least once, and in effect once, since a timer's command always has the same id.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
import structlog

from events.envelope import Origin
from infra.adapters.lease import PostgresLease, while_held
from infra.engines.command_bus import CommandBus
from infra.errors import Fault, Rejection
from infra.faults import crash_point
from infra.patterns.decider import Command
from infra.settings import Settings

log = structlog.get_logger()

_DUE = """
SELECT timer_id, tenant_id, saga, command, fields, causation_id, correlation_id FROM timer
WHERE shard = %s AND due_at <= now() ORDER BY due_at LIMIT %s
"""
_FIRED = "DELETE FROM timer WHERE shard = %s AND timer_id = ANY (%s)"


class Timers:
    """Runs in the sagas' process; one is active for each shard."""

    def __init__(
        self, database_url: str, bus: CommandBus, commands: Mapping[str, type[Command]], settings: Settings
    ) -> None:
        self._url = database_url
        self._bus = bus
        self._commands = commands
        self._settings = settings

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
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            while True:
                if not await self.fire(connection):
                    await asyncio.sleep(self._settings.timer_poll_s)

    async def fire(self, connection: psycopg.AsyncConnection[Any]) -> int:
        """Fire what is due, up to `timer_batch_max`; gives their number."""
        due = await (await connection.execute(_DUE, (self._settings.shard, self._settings.timer_batch_max))).fetchall()
        if not due:
            return 0
        sending = []
        for timer_id, tenant_id, saga, name, fields, causation_id, correlation_id in due:
            command = self._commands[name].model_validate(fields)
            origin = Origin(tenant_id, f"saga:{saga}", f"{timer_id}/fired", correlation_id, causation_id)
            sending.append((command, origin, True))
        crash_point("timer.before_command")
        for answer in await self._bus.execute_many(sending):
            if isinstance(answer, Exception) and not isinstance(answer, Rejection):
                raise answer
        crash_point("timer.after_command")
        await connection.execute(_FIRED, (self._settings.shard, [row[0] for row in due]))
        return len(due)
