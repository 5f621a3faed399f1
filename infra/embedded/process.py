"""A child process: in its own session, logged to a file, stopped within a bound; on Linux it dies with its parent."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from infra.errors import Fault

LOG_BYTES_MAX = 10_485_760
TAIL_BYTES_MAX = 16_384
POLL_S = 0.02

_PR_SET_PDEATHSIG = 1


class ServerNotStarted(Fault):
    """A server or process of the system could not be started."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user of the operating system that a process runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start and how to end it.

    `farewell` are the signals to stop with, each with the seconds that the process gets before the next one.
    `orphan_signal` is what the kernel sends when the parent dies first.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    account: Account | None = None
    orphan_signal: signal.Signals = signal.SIGKILL
    farewell: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class Child:
    """One run of a Launch. Start it from the thread of the event loop: the kernel takes that thread for the parent."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        rotate(launch.log)
        account = launch.account
        with launch.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    launch.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=None if launch.environment is None else dict(launch.environment),
                    cwd=launch.folder,
                    start_new_session=True,
                    preexec_fn=_bind_to_parent(launch.orphan_signal),
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
            except (OSError, subprocess.SubprocessError) as refused:
                whom = f" as user {account.name}" if account else ""
                raise ServerNotStarted(f"{launch.name} cannot be started{whom}: {refused}") from refused

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it lives; negative: the signal that ended it."""
        return self._process.poll()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.alive:
            self._process.send_signal(number)

    async def ended(self, within_s: float | None = None) -> bool:
        """Wait for the end; False if it did not come in time."""
        deadline = None if within_s is None else monotonic() + within_s
        while self.alive:
            if deadline is not None and monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def stop(self) -> None:
        for number, patience_s in self.launch.farewell:
            self.kill(number)
            if await self.ended(patience_s):
                return
        raise ServerNotStarted(f"{self.launch.name} (process {self.pid}) does not end, not even by SIGKILL.")

    async def ready(self, answers: Callable[[], Awaitable[bool]], within_s: float, poll_s: float = POLL_S) -> None:
        """Wait until it answers; raises ServerNotStarted with the end of its log if it dies or takes too long."""
        deadline = monotonic() + within_s
        while not await answers():
            if not self.alive:
                raise self.not_started(f"ended while starting (exit code {self.exit_code})")
            if monotonic() > deadline:
                raise self.not_started(f"did not answer within {within_s:g} s")
            await asyncio.sleep(poll_s)

    def not_started(self, what: str) -> ServerNotStarted:
        log = self.launch.log
        return ServerNotStarted(f"{self.launch.name} {what}. Its log, {log}, ends:\n{last_lines(log)}")


def _bind_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec so that it gets `number` when its parent dies; see prctl(2).

    It runs after the change of user, which would clear the setting. Nothing is imported or looked up in there.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def after_fork() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return after_fork


def occupants(folder: Path, program: str) -> list[int]:
    """The processes of a program whose working directory is `folder`; on Linux only, elsewhere none."""
    found = []
    place = str(folder.resolve())
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            at_home = os.readlink(entry / "cwd").removesuffix(" (deleted)") == place
            if at_home and Path(os.readlink(entry / "exe").removesuffix(" (deleted)")).name == program:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def evict(folder: Path, program: str, farewell: tuple[tuple[signal.Signals, float], ...]) -> None:
    """End what an earlier run left behind in a folder; raises ServerNotStarted if it stays."""
    for number, patience_s in farewell:
        for pid in occupants(folder, program):
            _send(pid, number)
        if await _vacant(folder, program, patience_s):
            return
    raise ServerNotStarted(f"{program} of an earlier run still uses {folder}: end it and start again.")


async def _vacant(folder: Path, program: str, patience_s: float) -> bool:
    deadline = monotonic() + patience_s
    while True:
        if not occupants(folder, program):
            return True
        if monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as refused:
        message = f"Process {pid} of an earlier run belongs to another user: end it and start again."
        raise ServerNotStarted(message) from refused


def rotate(log: Path) -> None:
    """Put what stands in a log that has grown too long aside, as `<name>.1`.

    Who writes it may go on, since it only appends; what it writes while the log is copied is lost.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size > LOG_BYTES_MAX:
        # On a full disk the log is given up: it may be what fills it.
        with suppress(OSError):
            shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES_MAX))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return "(no log)"
