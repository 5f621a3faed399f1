"""Liveness: remembers the last sign of life of each stream that sends heartbeats, and reports those that fell silent.

Heartbeats do not enter the log; they are kept in a table, at most `heartbeat_flush_s` old. Silence is reported at least once, also of those
whose only heartbeat was lost with the process that took it: that they came is in the log.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog

from events.envelope import Origin
from infra.adapters import postgres_arrays as arrays
from infra.adapters.checkpoints import Effect
from infra.adapters.event_store import Record
from infra.adapters.postgres_connection import WatchedConnection
from infra.engines.command_bus import CommandBus
from infra.errors import Fault, Rejection, VersionConflict
from infra.ids import utc_now
from infra.patterns.decider import Command
from infra.settings import Settings

log = structlog.get_logger()

_SEEN = """
INSERT INTO heartbeat (tenant_id, stream_id, seen_at) SELECT * FROM unnest(%s, %s, %s)
ON CONFLICT (tenant_id, stream_id) DO UPDATE SET seen_at = GREATEST(heartbeat.seen_at, EXCLUDED.seen_at)
"""
_CAME = """
INSERT INTO heartbeat (tenant_id, stream_id, seen_at)
SELECT u.tenant_id, u.stream_id, max(u.seen_at)
FROM moved m, unnest(%s::text[], %s::text[], %s::timestamptz[]) AS u (tenant_id, stream_id, seen_at)
GROUP BY u.tenant_id, u.stream_id
ON CONFLICT (tenant_id, stream_id) DO UPDATE SET seen_at = GREATEST(heartbeat.seen_at, EXCLUDED.seen_at)
"""
_SILENT = "SELECT tenant_id, stream_id, seen_at FROM heartbeat WHERE seen_at < %s ORDER BY seen_at LIMIT 1000"
_FROM_THE_FUTURE = "UPDATE heartbeat SET seen_at = %s WHERE seen_at > %s"
_FORGET = "DELETE FROM heartbeat WHERE tenant_id = %s AND stream_id = %s AND seen_at = %s"
_BROKEN = (psycopg.OperationalError, psycopg.InterfaceError, OSError, Fault)

Connection = psycopg.AsyncConnection[Any]


class _Database:
    """Answers within `connect_s_max`, or is asked over another connection: one that hangs would make everybody look silent."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._answer_s_max = settings.connect_s_max

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        async with asyncio.timeout(self._answer_s_max):
            connection = await WatchedConnection.connect(self._url, autocommit=True)
        async with connection:
            yield connection

    async def ask(self, connection: Connection, query: str, parameters: Sequence[Any] = ()) -> psycopg.AsyncCursor[Any]:
        async with asyncio.timeout(self._answer_s_max):
            return await connection.execute(query.encode(), parameters)


class Liveness:
    """Takes heartbeats in the command API's process (`seen`, `run`)."""

    def __init__(self, database_url: str, settings: Settings) -> None:
        self._database = _Database(database_url, settings)
        self._settings = settings
        self._seen: dict[tuple[str, str], datetime] = {}

    def seen(self, tenant_id: str, stream_id: str) -> None:
        """Note a sign of life, now."""
        self._seen[tenant_id, stream_id] = utc_now()

    async def run(self) -> None:
        """Write what was seen every `heartbeat_flush_s`, for ever."""
        while True:
            try:
                async with self._database.connected() as connection:
                    arrays.register(connection.adapters)
                    await self._database.ask(connection, "SET synchronous_commit = off")
                    while True:
                        await asyncio.sleep(self._settings.heartbeat_flush_s)
                        await self._flush(connection)
            except _BROKEN as broken:
                log.warning("heartbeats are not written", cause=type(broken).__name__)
                await asyncio.sleep(1.0)

    async def _flush(self, connection: Connection) -> None:
        if not self._seen:
            return
        seen = sorted(self._seen.items())
        parameters = (
            arrays.texts([tenant_id for (tenant_id, _), _ in seen]),
            arrays.texts([stream_id for (_, stream_id), _ in seen]),
            arrays.times([at for _, at in seen]),
        )
        await self._database.ask(connection, _SEEN, parameters)
        for key, at in seen:
            if self._seen.get(key) == at:
                del self._seen[key]


class Arrivals:
    """A consumer's handler: an event by which somebody came is a sign of life too, so that it is noticed if it remains the only one."""

    kind = "saga"
    version = 1
    follows = False

    def __init__(self, name: str, types: frozenset[str]) -> None:
        self.name = name
        self.types = types

    async def begin(self, connection: Connection, position: int) -> None:
        """It remembers nothing."""

    async def effects(self, connection: Connection, records: Sequence[Record], position: int) -> list[Effect]:
        signs = [(record.tenant_id, record.stream_id, record.occurred_at) for record in records]
        return [Effect(_CAME, [list(column) for column in zip(*signs, strict=True)])] if signs else []

    async def end(self) -> None:
        """Nothing is under way."""

    async def rebuild(self, connection: Connection, position: int) -> int:
        return position


class SilenceWatch:
    """Runs in the sagas' process: sends `on_silence(stream id, last seen)` for each stream that fell silent."""

    def __init__(
        self, database_url: str, bus: CommandBus, on_silence: Callable[[str, datetime], Command], settings: Settings
    ) -> None:
        self._database = _Database(database_url, settings)
        self._bus = bus
        self._on_silence = on_silence
        self._settings = settings

    async def run(self) -> None:
        """Watch for ever. After a start or a pause, everyone has a whole timeout to be heard again: the API may have been away as well."""
        while True:
            try:
                await asyncio.sleep(self._settings.heartbeat_timeout_s)
                async with self._database.connected() as connection:
                    looked_at = utc_now()
                    while not self._was_away(looked_at):
                        looked_at = utc_now()
                        await self._look(connection)
                        await asyncio.sleep(self._settings.heartbeat_check_s)
            except _BROKEN as broken:
                log.warning("silence is not watched", cause=type(broken).__name__)

    def _was_away(self, since: datetime) -> bool:
        """Whether this process was stopped or the clock went forward: the whole machine may have slept, and all who send heartbeats."""
        usual_s = self._settings.heartbeat_check_s + self._settings.heartbeat_timeout_s / 2
        return utc_now() - since > timedelta(seconds=usual_s)

    async def _look(self, connection: Connection) -> None:
        now = utc_now()
        timeout = timedelta(seconds=self._settings.heartbeat_timeout_s)
        latest = now - timeout
        # The clock went back: what was seen before that would hide who fell silent, until the clock has caught up.
        await self._database.ask(connection, _FROM_THE_FUTURE, (now, now + timeout))
        silent = await self._database.ask(connection, _SILENT, (latest,))
        for tenant_id, stream_id, seen_at in await silent.fetchall():
            if self._was_away(now):
                return
            command_id = f"silence/{stream_id}/{seen_at.isoformat()}"
            origin = Origin(tenant_id, "liveness", command_id, command_id, command_id)
            try:
                await self._bus.execute(self._on_silence(stream_id, seen_at), origin, remember=True)
            except Fault:
                raise
            except VersionConflict:
                continue
            except Rejection as rejection:
                log.info("silence without consequence", code=rejection.code)
            except Exception as cause:
                # It is looked at again; the others shall not wait for it.
                log.error("silence cannot be reported", stream=stream_id, cause=f"{type(cause).__name__}: {cause}")
                continue
            await self._database.ask(connection, _FORGET, (tenant_id, stream_id, seen_at))
