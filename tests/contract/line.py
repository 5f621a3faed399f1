"""A line to Postgres that a test disturbs, and appends to send over it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from infra.adapters.event_store import Append, NewEvent, Write
from infra.adapters.postgres_store import PostgresEventStore
from infra.ids import new_uuid7
from infra.settings import Settings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SOCKET = ".s.PGSQL.5432"
END_OF_CALL = b"S\x00\x00\x00\x04"
"""The message Sync: what was asked before it is done, and not yet committed."""


def one(stream_id: str, expected: int = 0, count: int = 1, data: bytes = b"{}", **more: Any) -> Append:
    new = [NewEvent("thing.happened", 1, data, new_uuid7()) for _ in range(count)]
    return Append("acme", (Write(stream_id, expected, new),), NOW, **more)


class Line:
    """A line to Postgres that can be disturbed.

    `mute` keeps its answers back, `deaf` what is asked of it, `endless` only the message that ends a call; one that is `long_s` takes so
    many seconds to connect.
    """

    def __init__(self, database_url: str, long_s: float = 0.0) -> None:
        self.mute = self.deaf = self.endless = False
        self._long_s = long_s
        self._place = Path(tempfile.mkdtemp(prefix="foldwork-line-"))
        self._server = Path(parse_qs(urlsplit(database_url).query)["host"][0]) / SOCKET
        self.url = urlsplit(database_url)._replace(query=f"host={quote(str(self._place))}").geturl()
        self._callers: list[asyncio.StreamWriter] = []
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        self._listening = await asyncio.start_unix_server(self._carry, self._place / SOCKET)

    async def shut(self) -> None:
        """Nobody gets through any more."""
        if self._listening is not None:
            self._listening.close()
        (self._place / SOCKET).unlink(missing_ok=True)
        self.cut()

    async def close(self) -> None:
        await self.shut()
        shutil.rmtree(self._place)

    def cut(self) -> None:
        """Break every connection on the caller's side; Postgres learns of it only when it looks."""
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._callers.append(writer)
        await asyncio.sleep(self._long_s)

        async def requests() -> None:
            with suppress(OSError):
                while data := await reader.read(65536):
                    if not self.deaf:
                        to_server.write(data.removesuffix(END_OF_CALL) if self.endless else data)
            to_server.close()

        async def answers() -> None:
            with suppress(OSError):
                while data := await from_server.read(65536):
                    if not self.mute:
                        writer.write(data)
            writer.close()

        await asyncio.gather(requests(), answers())


@asynccontextmanager
async def opened(url: str, settings: Settings, **changes: Any) -> AsyncIterator[PostgresEventStore]:
    store = await PostgresEventStore.open(url, settings.model_copy(update=changes))
    try:
        yield store
    finally:
        await store.close()


async def begun(store: PostgresEventStore) -> None:
    """One event, and what the store does after its first append is over as well."""
    await store.append(one("first-1"))
    await store.append(Append("acme", (Write("first-1", 1, ()),), NOW))
