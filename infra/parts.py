"""The processes that Foldwork consists of, and how one of them is started."""

import signal
from dataclasses import dataclass
from typing import Protocol

from infra.embedded.process import Child, Launch
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the system: `python -m <module>`. Its /readyz is on the port of the setting `port`."""

    name: str
    module: tuple[str, ...]
    port: str

    def url(self, settings: Settings) -> str:
        """Where it answers HTTP, seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{getattr(settings, self.port)}"


PARTS = (
    Part("write_side", ("write_side",), "command_port"),
    Part("read_side", ("read_side",), "query_port"),
    Part("relay", ("infra", "relay"), "relay_port"),
    Part("projections", ("projections",), "projections_port"),
    Part("sagas", ("sagas",), "sagas_port"),
)


class Kept(Protocol):
    """What the supervisor keeps alive: an embedded server or a part."""

    name: str

    @property
    def pid(self) -> int | None: ...
    @property
    def alive(self) -> bool: ...
    @property
    def exit_code(self) -> int | None: ...
    def kill(self, number: signal.Signals = signal.SIGKILL) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class PartProcess:
    """A part that is started again and again from the same Launch."""

    def __init__(self, launch: Launch) -> None:
        self.name = launch.name
        self._launch = launch
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code if self._child else None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._child:
            self._child.kill(number)

    async def start(self) -> None:
        self._child = Child(self._launch)

    async def stop(self) -> None:
        if self._child:
            await self._child.stop()
