"""The guarded child that evaluates jq programs: `python -m infra.expressions.child`; serves requests until its input ends.

Ends by itself when its parent has ended (end of input) or when one answer takes far too long (an alarm with the default action: C code
need not cooperate). After its start it can open next to nothing, write no file and take a bounded amount of memory.
A request is a length of 4 bytes and a body, an answer a length of 4 bytes and a body whose first byte says what it is.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

DONE, FAILED, TOO_LARGE, NONE, READY = b"d", b"f", b"l", b"n", b"r"

MESSAGE_BYTES_MAX = 65_536

_IN, _OUT = 0, 1
_CHUNK_BYTES = 1 << 16
_PROGRAMS_MAX = 256
_ALARM_FACTOR = 2.0


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Answer requests until the input ends. The process's arguments: memory in bytes, open files, seconds for one answer."""
    memory_bytes, open_files, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _write(READY)
    while (head := _read(4)) is not None:
        body = _read(int.from_bytes(head, "big"))
        if body is None:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds * _ALARM_FACTOR)
        try:
            answered = answer(body)
        except MemoryError:
            answered = TOO_LARGE
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answered)


def _read(size: int) -> bytes | None:
    """Exactly so many bytes; None at the end of the input."""
    parts = []
    while size:
        part = os.read(_IN, min(size, _CHUNK_BYTES))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(body: bytes) -> None:
    left = memoryview(len(body).to_bytes(4, "big") + body)
    while left:
        left = left[os.write(_OUT, left) :]


def main() -> None:
    import jq  # type: ignore[import-not-found]  # has no types; only here, so that the schema child does without it

    programs: dict[bytes, Any] = {}

    def program_of(text: bytes) -> Any:
        found = programs.pop(text, None) or jq.compile(text.decode())
        programs[text] = found  # the last used stands last
        if len(programs) > _PROGRAMS_MAX:
            del programs[next(iter(programs))]
        return found

    def answer(body: bytes) -> bytes:
        """A request: bytes that an output may have (0: only compile), length of the program, the program, the input."""
        output_bytes_max, length = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        try:
            program = program_of(body[8 : 8 + length])
            if not output_bytes_max:
                return NONE
            text = next(iter(program.input_text(body[8 + length :].decode())), None)
        except ValueError as failed:
            # A message that were cut could no longer be told from the data in it.
            message = str(failed).encode(errors="replace")
            return FAILED + (message if len(message) <= MESSAGE_BYTES_MAX else b"")
        if text is None:
            return NONE
        encoded: bytes = text.encode()
        return DONE + encoded if len(encoded) <= output_bytes_max else TOO_LARGE

    serve(answer)


if __name__ == "__main__":
    main()
