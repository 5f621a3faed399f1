"""Runs work in a child process that is killed when it is late or takes too much: one child per guard, one request at a time, reused.

Blocking and synchronous; for any thread, with or without an event loop. A child that was killed or has died is reaped, and the next one
is started at once, so that it is ready when it is needed. After a fork the new process starts its own; a child ends with its parent.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from time import monotonic

from infra.expressions.bounds import BOUNDS, Bounds
from infra.expressions.failure import ExpressionFailed

_ROOT = str(Path(__file__).parents[2])
_KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV")
_CHUNK_BYTES = 1 << 20
_REAP_SECONDS_MAX = 10.0
# By these somebody else ends a process; by others it has ended itself.
_FROM_OUTSIDE = frozenset({0, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class WouldWait(Exception):
    """The answer would have to be waited for, in a thread that must not wait now."""


class _Here(threading.local):
    """What is so in this thread."""

    may_wait = True


HERE = _Here()
"""`may_wait` is False while a thread does what others wait for: instead of asking its child a guard raises WouldWait then."""


class _Late(Exception):
    """The child did not take or give the bytes in time."""


class _Dead(Exception):
    """The child has ended, by the signal `number`."""

    def __init__(self, number: int = 0) -> None:
        super().__init__(number)
        self.number = number


class Guard:
    """The child process of one module (`python -m module memory files seconds`) that speaks the frames of `child.serve`."""

    def __init__(self, module: str, bounds: Bounds = BOUNDS) -> None:
        self._module = module
        self._bounds = bounds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self.seconds_spent = 0.0
        """How long requests have taken in all."""
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(ours))

    @property
    def pid(self) -> int | None:
        """The process id of the child; None before the first request."""
        return None if self._process is None else self._process.pid

    def ask(self, body: bytes, answer_bytes_max: int) -> bytes:
        """The child's answer to a request.

        Raises ExpressionFailed if it is too slow, too large or killed its child, and WouldWait where nothing may wait.
        """
        if not HERE.may_wait:
            raise WouldWait
        with self._lock:
            began = monotonic()
            try:
                return self._ask_again(body, answer_bytes_max)
            finally:
                self.seconds_spent += monotonic() - began

    def _ask_again(self, body: bytes, answer_bytes_max: int) -> bytes:
        for last in (False, True):
            try:
                return self._ask(body, answer_bytes_max)
            except _Dead as dead:
                if last or dead.number not in _FROM_OUTSIDE:
                    self._replace()
                    raise self._explained(dead.number) from None
        raise AssertionError("unreachable")

    def _explained(self, number: int) -> ExpressionFailed:
        if number == signal.SIGALRM:
            return ExpressionFailed(f"too slow: it was stopped after {self._bounds.seconds_max:g} s")
        return ExpressionFailed(
            "too large: it needed more memory than an expression may take, and its process has ended"
        )

    def close(self) -> None:
        """End the child; the next request starts another."""
        with self._lock:
            self._end()

    def _ask(self, body: bytes, answer_bytes_max: int) -> bytes:
        if self._process is None or self._process.poll() is not None:
            self._replace()
        process = self._process
        assert process is not None
        try:
            if not self._ready:
                self._read(process, monotonic() + self._bounds.child_start_seconds_max, 64)
                self._ready = True
            deadline = monotonic() + self._bounds.seconds_max
            self._write(process, len(body).to_bytes(4, "big") + body, deadline)
            return self._read(process, deadline, answer_bytes_max)
        except _Late:
            self._replace()
            raise ExpressionFailed(f"too slow: it was stopped after {self._bounds.seconds_max:g} s") from None
        except _Dead:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_REAP_SECONDS_MAX)
            number = -(process.returncode or 0)
            self._end()
            raise _Dead(max(number, 0)) from None
        except BaseException:
            # Interrupted between a request and its answer: the next request must not read this answer.
            self._end()
            raise

    def _replace(self) -> None:
        self._end()
        bounds = self._bounds
        limits = (bounds.child_memory_bytes_max, bounds.child_open_files_max, bounds.seconds_max)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", self._module, *map(str, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={**kept, "PYTHONPATH": _ROOT, "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        self._ready = False
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_SECONDS_MAX)
        _close_pipes(process)

    @staticmethod
    def _write(process: "subprocess.Popen[bytes]", data: bytes, deadline: float) -> None:
        assert process.stdin is not None
        number, left = process.stdin.fileno(), memoryview(data)
        while True:
            try:
                left = left[os.write(number, left[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                _wait(number, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise _Dead from None
            if not left:
                return

    @staticmethod
    def _read(process: "subprocess.Popen[bytes]", deadline: float, answer_bytes_max: int) -> bytes:
        assert process.stdout is not None
        number, data = process.stdout.fileno(), b""
        parts, have, wanted = [data], 0, 4
        while have < wanted:
            _wait(number, select.POLLIN, deadline)
            part = os.read(number, _CHUNK_BYTES)
            if not part:
                raise _Dead
            parts.append(part)
            have += len(part)
            if wanted == 4 and have >= 4:
                parts = [data := b"".join(parts)]
                wanted = 4 + int.from_bytes(data[:4], "big")
                if wanted - 4 > answer_bytes_max:
                    raise ExpressionFailed("the output is too large")
        return b"".join(parts)[4:]


def _wait(number: int, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(number, events)
    left = deadline - monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise _Late


def _close_pipes(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _forget(ours: "weakref.ref[Guard]") -> None:
    """In a forked process: the child is the parent's; letting go of its pipes lets it see when the parent ends."""
    guard = ours()
    if guard is None:
        return
    guard._lock = threading.Lock()
    process, guard._process = guard._process, None
    if process is not None:
        process.returncode = 0  # not ours to wait for
        _close_pipes(process)
