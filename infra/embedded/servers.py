"""Both embedded servers of one data folder, for tests and for programs that need nothing else."""

import asyncio
import shutil
from pathlib import Path
from types import TracebackType

from infra.embedded.folder import DataFolder
from infra.embedded.nats import EmbeddedNats
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.process import ServerNotStarted

Server = EmbeddedPostgres | EmbeddedNats


class EmbeddedServers:
    """`async with EmbeddedServers(folder) as servers:` gives `servers.database_url` and `servers.nats_url`."""

    def __init__(self, folder: Path) -> None:
        self.folder = DataFolder(folder)
        self.postgres = EmbeddedPostgres(self.folder.path, self.folder.log("postgres"))
        self.nats = EmbeddedNats(self.folder.path, self.folder.log("nats"))

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def nats_url(self) -> str:
        return self.nats.url

    async def start(self) -> None:
        """Raises AlreadyRunning if another process uses the folder, ServerNotStarted if a server does not come up."""
        self.folder.acquire()
        try:
            await start_all(self.postgres, self.nats)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        await self.nats.stop()
        await self.postgres.stop()
        self.folder.release()

    def erase(self) -> None:
        """Delete the folder and the data wherever it is; only after `stop`."""
        self.postgres.erase()
        shutil.rmtree(self.folder.path, ignore_errors=True)

    async def __aenter__(self) -> "EmbeddedServers":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def start_all(*servers: Server) -> None:
    """Start side by side; the first failure is raised once all have come to an end.

    Raises ServerNotStarted, also where nothing can be written.
    """
    results = await asyncio.gather(*(server.start() for server in servers), return_exceptions=True)
    for server, result in zip(servers, results, strict=True):
        if isinstance(result, OSError):
            raise ServerNotStarted(f"{server.name} cannot be started: {result}. Is the disk full?") from result
        if isinstance(result, BaseException):
            raise result
