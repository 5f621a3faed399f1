"""A process of somebody else's making: in a session and a folder of its own, within limits, and gone as a whole at the end.

Guarantee: when `guarded` is left, for whatever reason, every process is killed that stayed in the session or in the folder; if our own
process is killed, that of the session. This bounds accidents; it is no prison: a program that means harm needs a container.
"""

import asyncio
import ctypes
import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from infra.calls.contract import CallFailed, CallSettings

PATH = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
"""Where programs are looked for: as the operator has it for our own process."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PR_SET_PDEATHSIG = 1
_FILES_MAX = 256
_PASSES_MAX = 50
_PASS_S = 0.02
_SESSION_FIELD = 3
_WATCH = 'read -r _ || { kill -s KILL -- "-$1"; rm -rf -- "$2"; }'
"""A shell that hears no word before its input ends has outlived our own process."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `address_space` bounds what it may reserve and not only what it may fill, which some runtimes cannot live with."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    address_space: bool = True


class GuardedProcess(asyncio.SubprocessProtocol):
    """A running process; made by `guarded`. `on_output` gets what it writes to standard output, as it comes."""

    def __init__(self, folder: Path, output_bytes_max: int, on_output: Callable[[bytes], None] | None = None) -> None:
        self.folder = folder
        self.stdout, self.stderr = bytearray(), bytearray()
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()
        self.overflowed = False
        self.watch: asyncio.subprocess.Process | None = None
        self._bytes_max = output_bytes_max
        self._bytes = 0
        self._on_output = on_output
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is one as well, but does not say so.
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self._bytes_max:
            self.overflowed = True
            self.exited.set()
            return
        if fd == _STDOUT and self._on_output:
            self._on_output(data)
        else:
            (self.stdout if fd == _STDOUT else self.stderr).extend(data)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.exited.set()
        self.drained.set()

    @property
    def code(self) -> int | None:
        """The exit code once it has ended; negative: the signal that ended it."""
        return self._transport.get_returncode() if self._transport else None

    @property
    def pid(self) -> int:
        assert self._transport is not None
        return self._transport.get_pid()

    def write(self, data: bytes) -> None:
        """Give it something to read; a process that reads no more misses nothing."""
        pipe = self._transport.get_pipe_transport(_STDIN) if self._transport else None
        if pipe is not None and not pipe.is_closing():
            pipe.write(data)  # type: ignore[attr-defined]  # standard input is a pipe that is written to

    def write_end(self) -> None:
        pipe = self._transport.get_pipe_transport(_STDIN) if self._transport else None
        if pipe is not None:
            pipe.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def guarded(
    program: Program, settings: CallSettings, on_output: Callable[[bytes], None] | None = None
) -> AsyncIterator[GuardedProcess]:
    """Start a program in an empty folder that is removed at the end; CallFailed if processes are not allowed or it cannot be started."""
    if not settings.processes_allowed:
        raise CallFailed("authorization", "The operator has not allowed processes.")
    folder = Path(tempfile.mkdtemp(prefix="foldwork-call-"))
    process = GuardedProcess(folder, settings.process_output_bytes_max, on_output)
    # A start that is cancelled half-way would leave behind what the program has started by then.
    starting = asyncio.create_task(_start(process, program, settings))
    try:
        await asyncio.shield(starting)
        yield process
    finally:
        await asyncio.shield(_end(process, starting))


async def _start(process: GuardedProcess, program: Program, settings: CallSettings) -> None:
    account = _account(settings)
    if account:
        os.chown(process.folder, account.pw_uid, account.pw_gid)
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: process,
            *program.arguments,
            env={"PATH": PATH, **program.environment},
            cwd=process.folder,
            start_new_session=True,
            preexec_fn=_limits(program, settings, account),
        )
    except (OSError, ValueError, subprocess.SubprocessError) as refused:
        detail = f"The program {program.arguments[0][:200]!r} cannot be started: {type(refused).__name__}."
        raise CallFailed("configuration", detail) from refused
    # The kernel ends with us what we started, and nothing that this has started.
    with suppress(OSError):
        process.watch = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _WATCH, "sh", str(process.pid), str(process.folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


async def finish(process: GuardedProcess) -> None:
    """Wait for what a process that has ended left in its pipes, after what it started was killed with it."""
    _kill(process.pid, process.folder)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.drained.wait(), 1.0)


async def _end(process: GuardedProcess, starting: asyncio.Task[None]) -> None:
    await asyncio.wait([starting])
    if not starting.cancelled() and starting.exception() is None:
        # What forks while it is looked for is found in the next pass; the limits keep that race short.
        for _ in range(_PASSES_MAX):
            if not _kill(process.pid, process.folder):
                break
            await asyncio.sleep(_PASS_S)
        process.close()
        if process.watch:
            await process.watch.communicate(b"\n")
    await asyncio.to_thread(_remove, process.folder)


def _remove(folder: Path) -> None:
    """Delete a folder. What was closed in there is opened first; root, who needs no rights, does not touch any."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.geteuid() == 0 or not folder.exists():
        return
    with suppress(OSError):
        folder.chmod(stat.S_IRWXU)
        for place, inner, _ in os.walk(folder):
            for path in (Path(place, name) for name in inner):
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _kill(session: int, folder: Path) -> bool:
    """Kill what is in the session or the folder; False if there was nothing."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    found = [pid for pid in _pids() if _belongs(pid, session, folder)]
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _belongs(pid: int, session: int, folder: Path) -> bool:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state in "ZX":
            return False
        if int(fields[_SESSION_FIELD - 1]) == session:
            return True
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder)
    except (OSError, ValueError, IndexError):
        return False


def _account(settings: CallSettings) -> pwd.struct_passwd | None:
    """The user to run as; None: the server's own."""
    name = settings.process_account or ("nobody" if os.geteuid() == 0 else None)
    if name is None:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError as unknown:
        raise CallFailed("configuration", f"There is no user {name!r} to run processes as.") from unknown


def found_program(command: str, settings: CallSettings, path: str = PATH) -> str | None:
    """Where a program is that the processes' user can reach; None if there is none."""
    if os.sep in command:
        return command
    account = _account(settings)
    places = (shutil.which(command, path=folder) for folder in path.split(os.pathsep) if folder)
    return next((place for place in places if place and (account is None or _is_for_all(Path(place)))), None)


def _is_for_all(place: Path) -> bool:
    """Whether anybody may run it: it itself, where a link leads, and every folder on the way."""
    return all(path.stat().st_mode & 0o001 for end in (place, place.resolve()) for path in (end, *end.parents))


def python_for(settings: CallSettings) -> str:
    """The Python that scripts run with: this one, or that of the system if the processes' user cannot reach this one."""
    account, own = _account(settings), Path(sys.executable)
    if account is None or _is_for_all(own):
        return str(own)
    found = found_program("python3", settings)
    if found is None:
        raise CallFailed("configuration", f"The user {account.pw_name!r} cannot reach any Python.")
    return found


def _limits(program: Program, settings: CallSettings, account: pwd.struct_passwd | None) -> Callable[[], None]:
    """What happens between fork and exec. Nothing is imported or looked up in there: other threads may hold locks."""
    memory = resource.RLIMIT_AS if program.address_space else resource.RLIMIT_DATA
    seconds = max(1, int(settings.process_s_max) + 1)
    uid, gid = (account.pw_uid, account.pw_gid) if account else (os.getuid(), os.getgid())
    limits = [
        (memory, settings.process_memory_bytes_max),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, settings.process_file_bytes_max),
        (resource.RLIMIT_NOFILE, _FILES_MAX),
        (resource.RLIMIT_CORE, 0),
    ]
    if sys.platform == "linux":
        # The kernel counts all threads of the user, not only those of this call.
        limits.append((resource.RLIMIT_NPROC, _threads_of(uid) + settings.process_count_max))
    bounds = tuple((which, min(value, _hard(which))) for which, value in limits)
    set_limit, prctl = resource.setrlimit, ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    change, parent, kill = account is not None, os.getpid(), int(signal.SIGKILL)

    def after_fork() -> None:
        for which, value in bounds:
            set_limit(which, (value, value))
        if change:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), kill)

    return after_fork


def _hard(which: int) -> int:
    hard = resource.getrlimit(which)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _threads_of(uid: int) -> int:
    count = 0
    for pid in _pids():
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count
