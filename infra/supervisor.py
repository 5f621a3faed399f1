"""Runs the whole system on one machine: the servers, then the migrations, then one process for each side.

Guarantee: what dies is started again, with the same URL and port; nothing outlives the supervisor.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Literal

import httpx
import orjson
import psycopg
import structlog

from infra.adapters.migrations import migrate
from infra.embedded.folder import DataFolder, ProcessState, SystemState
from infra.embedded.nats import EmbeddedNats
from infra.embedded.ports import free_port, is_free
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.process import POLL_S, Launch, ServerNotStarted, last_lines, rotate
from infra.embedded.servers import EmbeddedServers, start_all
from infra.parts import PARTS, Kept, Part, PartProcess
from infra.settings import Settings
from infra.telemetry import redact_text

READY_S_MAX = 60.0
READY_REQUEST_S_MAX = 2.0
PORT_FREE_S_MAX = 5.0
DEATHS_BEFORE_READY_MAX = 5
KEEP_POLL_S = 0.05
ROTATE_S = 1.0
BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 5.0
STEADY_AFTER_S = 8.0

log = structlog.get_logger("supervisor")


async def migrate_database(settings: Settings) -> None:
    """What has to be done before the parts start."""
    assert settings.database_url is not None
    try:
        await migrate(settings.database_url, settings.shard, settings.partition_events)
    except psycopg.OperationalError as unreachable:
        raise ServerNotStarted(f"The database cannot be used: {redact_text(str(unreachable))}") from unreachable


def _as_text(value: object) -> str:
    """A setting as the environment has it: lists and objects are JSON there."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


class Supervisor:
    """`async with Supervisor(settings) as system:` runs the system for the length of the block.

    `ports="auto"` chooses free ports, for a second system beside a running one. After the start `settings` holds the
    URLs and ports in use. Start it from a thread that lives as long as it does (see Child).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ports: Literal["settings", "auto"] = "settings",
        parts: Sequence[Part] = PARTS,
        prepare: Callable[[Settings], Awaitable[None]] = migrate_database,
    ) -> None:
        self._given = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self.settings = self._given
        self.folder = DataFolder(self.settings.data_dir)
        self._ports = ports
        self._parts = {part.name: part for part in parts}
        self._prepare = prepare
        self._kept: dict[str, Kept] = {}
        self._restarts: dict[str, int] = {}
        self._starting: set[str] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._started_at = datetime.now(UTC)
        self._http: httpx.AsyncClient | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is kept alive, servers first."""
        return tuple(self._kept)

    def pid(self, name: str) -> int | None:
        """The process id at this moment; another one after a restart."""
        return self._kept[name].pid

    def alive(self, name: str) -> bool:
        return self._kept[name].alive

    def restarts(self, name: str) -> int:
        return self._restarts[name]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process; it will be started again if it dies of it."""
        self._kept[name].kill(number)

    def url(self, name: str) -> str:
        """Where a part answers HTTP, for example `http://127.0.0.1:8000` for write_side."""
        return self._parts[name].url(self.settings)

    async def start(self) -> None:
        """Start everything and wait until it is ready; raises AlreadyRunning or ServerNotStarted and leaves nothing."""
        self.folder.acquire()
        self.settings = self._given
        try:
            self._http = httpx.AsyncClient(timeout=READY_REQUEST_S_MAX, trust_env=False)
            await self._choose_ports()
            await self._start_servers()
            await self._prepare(self.settings)
            await self._start_parts()
            for name in self._parts:
                await self._until_ready(name, READY_S_MAX, DEATHS_BEFORE_READY_MAX)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the parts, then the servers. Everything is tried; the first failure is raised at the end."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        parts = [kept for name, kept in self._kept.items() if name in self._parts]
        servers = [kept for name, kept in self._kept.items() if name not in self._parts]
        results = await asyncio.gather(*(kept.stop() for kept in parts), return_exceptions=True)
        for kept in reversed(servers):
            results += await asyncio.gather(kept.stop(), return_exceptions=True)
        if self._http:
            await self._http.aclose()
        self.folder.release()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def erase(self) -> None:
        """Delete the data folder and the database wherever it is; only after `stop`."""
        EmbeddedServers(self.folder.path).erase()

    async def wait(self) -> None:
        """Wait while everything is kept alive; raises if a keeper itself breaks down."""
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        for keeper in done:
            keeper.result()

    async def is_ready(self, name: str) -> bool:
        """Whether a part says so on /readyz; a server is ready from the end of its start until it dies."""
        if name not in self._parts:
            return self.alive(name) and name not in self._starting
        assert self._http is not None
        try:
            answer = await self._http.get(self.url(name) + "/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    async def until_ready(self, name: str, within_s: float = READY_S_MAX) -> None:
        """Wait for /readyz; raises ServerNotStarted with the end of its log if it keeps dying or is too slow."""
        await self._until_ready(name, within_s, self._restarts[name] + DEATHS_BEFORE_READY_MAX)

    async def _until_ready(self, name: str, within_s: float, restarts_max: int) -> None:
        deadline = monotonic() + within_s
        while not await self.is_ready(name):
            tail = f"Its log, {self.folder.log(name)}, ends:\n{last_lines(self.folder.log(name))}"
            if self._restarts[name] >= restarts_max:
                raise ServerNotStarted(f"{name} died again and again before it was ready. {tail}")
            if monotonic() > deadline:
                raise ServerNotStarted(f"{name} was not ready within {within_s:g} s. {tail}")
            await asyncio.sleep(2 * POLL_S)

    async def __aenter__(self) -> "Supervisor":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _choose_ports(self) -> None:
        chosen: dict[str, int] = {}
        for part in self._parts.values():
            port = getattr(self.settings, part.port)
            if self._ports == "auto" or port == 0:
                port = free_port(self.settings.host, frozenset(chosen.values()))
            elif port in chosen.values():
                raise ServerNotStarted(f"Port {port} is meant for two parts: set another FOLDWORK_{part.port.upper()}.")
            elif not await self._becomes_free(port):
                raise ServerNotStarted(
                    f"Port {port}, meant for {part.name}, is in use. Stop the program that has it, "
                    f"or choose another with FOLDWORK_{part.port.upper()} (0: any free one)."
                )
            chosen[part.port] = port
        self.settings = self.settings.model_copy(update=chosen)

    async def _becomes_free(self, port: int) -> bool:
        """A process of an earlier supervisor that was killed may need a moment to end."""
        deadline = monotonic() + PORT_FREE_S_MAX
        while not is_free(self.settings.host, port):
            if monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _start_servers(self) -> None:
        servers: list[EmbeddedPostgres | EmbeddedNats] = []
        if self.settings.database_url is None:
            servers.append(EmbeddedPostgres(self.folder.path, self.folder.log("postgres")))
        if self.settings.nats_url is None:
            servers.append(EmbeddedNats(self.folder.path, self.folder.log("nats")))
        for server in servers:
            self._kept[server.name] = server
        await start_all(*servers)
        urls = {"postgres": "database_url", "nats": "nats_url"}
        self.settings = self.settings.model_copy(update={urls[server.name]: server.url for server in servers})
        for server in servers:
            self._keep_alive(server)

    async def _start_parts(self) -> None:
        for part in self._parts.values():
            process = PartProcess(self._launch(part))
            self._kept[part.name] = process
            await process.start()
            self._keep_alive(process)
        self._write_state()

    def _launch(self, part: Part) -> Launch:
        """Every setting goes into the environment, so that a part sees what the supervisor sees."""
        given = self.settings.model_dump(mode="json", exclude_none=True)
        settings = {f"FOLDWORK_{name.upper()}": _as_text(value) for name, value in given.items()}
        return Launch(
            name=part.name,
            # -P: a folder named `events` in the user's own directory must not stand in for ours
            arguments=(sys.executable, "-P", "-m", *part.module),
            log=self.folder.log(part.name),
            environment={**os.environ, **settings, "PYTHONUNBUFFERED": "1"},
        )

    def _keep_alive(self, kept: Kept) -> None:
        self._restarts[kept.name] = 0
        self._keepers.append(asyncio.create_task(self._keep(kept), name=f"keep {kept.name}"))

    async def _keep(self, kept: Kept) -> None:
        backoff_s = BACKOFF_S_MIN
        while True:
            since = rotated_at = monotonic()
            while kept.alive:
                await asyncio.sleep(KEEP_POLL_S)
                if monotonic() >= rotated_at + ROTATE_S:
                    rotated_at = monotonic()
                    rotate(self.folder.log(kept.name))
            if monotonic() - since >= STEADY_AFTER_S:
                backoff_s = BACKOFF_S_MIN
            log.warning("process ended", process=kept.name, exit_code=kept.exit_code, again_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
            self._restarts[kept.name] += 1
            self._starting.add(kept.name)
            try:
                await kept.start()
            except (ServerNotStarted, OSError) as failure:
                log.error("process not started", process=kept.name, cause=str(failure))
                continue
            finally:
                self._starting.discard(kept.name)
            log.info("process started", process=kept.name, pid=kept.pid)
            try:
                self._write_state()
            except OSError as full:
                log.error("what runs is not noted", cause=str(full))

    def _write_state(self) -> None:
        processes = {
            name: ProcessState(
                pid=kept.pid,
                url=self.url(name) if name in self._parts else None,
                log=str(self.folder.log(name)),
                restarts=self._restarts[name],
            )
            for name, kept in self._kept.items()
        }
        self.folder.note(
            SystemState(
                pid=os.getpid(),
                started_at=self._started_at,
                shard=self.settings.shard,
                database_url=self.settings.database_url or "",
                nats_url=self.settings.nats_url or "",
                processes=processes,
            )
        )
