"""Runs podman or docker: one command line at a time, never through a shell, within bounds on time and output.

Guarantee: when `run` is left, for whatever reason, its process has ended. The containers are the engine's: they are stopped by it alone.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

ENGINES = ("podman", "docker")
CHUNK_BYTES = 65_536
ANSWER_BYTES_MAX = 1_048_576
ANSWER_S_MAX = 60.0
DRAIN_S_MAX = 5.0
"""How long the output of a process that has ended is waited for."""


class EngineMissing(Exception):
    """There is neither podman nor docker in PATH."""


class TookTooLong(Exception):
    """A command of the engine did not end within its time."""


@dataclass(slots=True)
class Ran:
    """What came of a command; with `overflowed` it was ended because it wrote more than it may."""

    code: int = -1
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    overflowed: bool = False

    @property
    def said(self) -> str:
        """What it complained of."""
        return self.stderr.decode(errors="replace").strip()


class ContainerEngine:
    """`program` is a name or a path, by default the first of ENGINES in PATH; `arguments` come before the name of each command.

    Commands are run in `folder`, if there is one: some engines leave a note where they are.
    """

    def __init__(self, program: str | None, arguments: Sequence[str]) -> None:
        self.folder: str | None = None
        self._program = program
        self._arguments = tuple(arguments)

    @property
    def program(self) -> str:
        """Raises EngineMissing."""
        for name in ENGINES if self._program is None else (self._program,):
            found = shutil.which(name)
            if found is not None:
                return os.path.abspath(found)
        raise EngineMissing(f"There is no {self._program or ' or '.join(ENGINES)} in PATH.")

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        bytes_max: int = ANSWER_BYTES_MAX,
        s_max: float = ANSWER_S_MAX,
    ) -> Ran:
        """Run a command to its end. Raises EngineMissing, TookTooLong and OSError."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *self._arguments,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            # A signal from the terminal is for the node, which stops what it has begun.
            start_new_session=True,
        )
        ran = Ran()
        try:
            async with asyncio.timeout(s_max):
                await _follow(process, stdin, ran, bytes_max)
        except TimeoutError:
            raise TookTooLong(f"{arguments[0]} did not end within {s_max:g} s") from None
        finally:
            await _end(process)
        ran.code = process.returncode if process.returncode is not None else -1
        return ran


async def _follow(process: asyncio.subprocess.Process, stdin: bytes, ran: Ran, bytes_max: int) -> None:
    """Until the process has ended and all that it wrote is read, or it wrote too much."""
    assert process.stdout is not None
    assert process.stderr is not None
    too_much = asyncio.Event()

    async def read(stream: asyncio.StreamReader, into: bytearray) -> None:
        while chunk := await stream.read(CHUNK_BYTES):
            room = bytes_max - len(ran.stdout) - len(ran.stderr)
            into += chunk[:room]
            if len(chunk) > room:
                ran.overflowed = True
                too_much.set()
                return

    reading = [
        asyncio.create_task(read(process.stdout, ran.stdout)),
        asyncio.create_task(read(process.stderr, ran.stderr)),
    ]
    others = [asyncio.create_task(_write(process, stdin)), asyncio.create_task(too_much.wait())]
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({ended, others[1]}, return_when=asyncio.FIRST_COMPLETED)
        if not ran.overflowed:
            await asyncio.wait({*reading}, timeout=DRAIN_S_MAX)
    finally:
        for task in (*reading, *others, ended):
            task.cancel()
        await asyncio.gather(*reading, *others, ended, return_exceptions=True)


async def _write(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    """A process need not read what it is given."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
