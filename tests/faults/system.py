"""A whole system to break: as `foldwork up` starts it, but what its processes find in their environment can be changed."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections import ChainMap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from infra.embedded.nats import EmbeddedNats
from infra.embedded.ports import free_port
from infra.embedded.process import Launch
from infra.parts import Part, PartProcess
from infra.settings import Settings
from infra.supervisor import Supervisor
from read_side.demo.play import Target

FOLDER_MODE = 0o711
STANDBY_READY_S_MAX = 30.0


class BreakableSystem(Supervisor):
    """`arm` a part before it is started again; run a `standby` beside one. NATS may be the test's own."""

    def __init__(self, settings: Settings, folder: Path, nats: EmbeddedNats | None = None) -> None:
        own = {"data_dir": folder / "data", "database_url": None, "nats_url": nats.url if nats else None}
        super().__init__(settings.model_copy(update=own), ports="auto")
        self.nats = nats
        self._armed: dict[str, dict[str, str]] = {name: {} for name in self._parts}

    @property
    def database_url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url

    @property
    def nats_url(self) -> str:
        assert self.settings.nats_url is not None
        return self.settings.nats_url

    def target(self, tenant_id: str) -> Target:
        return Target(self.url("write_side"), self.url("read_side"), tenant_id)

    def arm(self, name: str, point: str, latch: Path) -> None:
        """From its next start on, a part dies at a crash point, `relay.after_read:3`, unless the latch exists by then."""
        self._armed[name].update(FOLDWORK_CRASH_POINT=point, FOLDWORK_CRASH_LATCH=str(latch))

    def disarm(self, name: str) -> None:
        self._armed[name].clear()

    def _launch(self, part: Part) -> Launch:
        launch = super()._launch(part)
        assert launch.environment is not None
        environment = ChainMap(self._armed[part.name], dict(launch.environment))
        return replace(launch, environment=environment)

    @asynccontextmanager
    async def standby(self, name: str) -> AsyncIterator["Standby"]:
        """A second process of a part, which is not started again."""
        part = self._parts[name]
        taken = frozenset(getattr(self.settings, each.port) for each in self._parts.values())
        elsewhere = self.settings.model_copy(update={part.port: free_port(self.settings.host, taken)})
        launch = super()._launch(part)
        environment = {
            **(launch.environment or {}),
            f"FOLDWORK_{part.port.upper()}": str(getattr(elsewhere, part.port)),
        }
        log = launch.log.with_name(f"{name}-standby.log")
        process = PartProcess(replace(launch, name=f"{name}-standby", environment=environment, log=log))
        await process.start()
        try:
            await _until_ready(part.url(elsewhere))
            yield Standby(process, part.url(elsewhere))
        finally:
            process.kill(signal.SIGCONT)
            await process.stop()


@dataclass(frozen=True, slots=True)
class Standby:
    """A second process of a part, and where it answers."""

    process: PartProcess
    url: str


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(STANDBY_READY_S_MAX), httpx.AsyncClient(trust_env=False) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(url + "/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)


def new_folder() -> Path:
    """One that the account may pass through that Postgres runs as under root."""
    folder = Path(tempfile.mkdtemp(prefix="foldwork-faults-"))
    folder.chmod(FOLDER_MODE)
    return folder


@asynccontextmanager
async def running_system(settings: Settings, *, own_nats: bool = False) -> AsyncIterator[BreakableSystem]:
    """Start a system in a folder of its own, and leave nothing."""
    folder = new_folder()
    async with AsyncExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
        nats = None
        if own_nats:
            nats = EmbeddedNats(folder / "nats", folder / "nats.log")
            await nats.start()
            cleaning.push_async_callback(nats.stop)
        system = BreakableSystem(settings, folder, nats)
        await system.start()
        cleaning.callback(system.erase)
        cleaning.push_async_callback(system.stop)
        yield system


async def until_dead(system: BreakableSystem, name: str, pid: int | None, within_s: float) -> None:
    """Wait until a process is not there any more, or another one is."""
    async with asyncio.timeout(within_s):
        while system.pid(name) == pid and system.alive(name):
            await asyncio.sleep(0.01)
