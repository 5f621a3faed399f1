"""The process that compiles one proto document: `python -m infra.calls.proto_child <memory> <seconds> <bytes of the outcome>`.

Reads the text from its input until that ends, and writes a byte that says what follows: DONE and a serialized FileDescriptorSet, or
FAILED and what is wrong. It writes nothing if it runs into a limit.
"""

import os
import re
import resource
import sys
from importlib.resources import files

DONE, FAILED = b"d", b"f"
NAME = "service.proto"
"""What the document is called in errors, and among the descriptors."""

_LOGGED = re.compile(rb"WARNING: All log|[IWEF]\d{4} ")
"""What protoc says to its log, and not about the document."""
_OPEN_FILES_MAX = 32
_ERRORS_BYTES_MAX = 4_000


def compiled(text: bytes, bytes_max: int) -> bytes:
    """The answer. No file is written: input and output of protoc lie in memory."""
    from grpc_tools import protoc  # type: ignore[import-untyped]  # has no types

    given, made, errors = (os.memfd_create(name) for name in ("given", "made", "errors"))
    os.write(given, text)
    os.dup2(errors, sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
    options = (
        "protoc",
        f"--proto_path={NAME}={_path(given)}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        "--include_imports",
        f"--descriptor_set_out={_path(made)}",
        NAME,
    )
    if protoc.main(options) == 0:
        return DONE + _content(made, bytes_max)
    lines = _content(errors, _ERRORS_BYTES_MAX).replace(_path(given).encode(), NAME.encode()).splitlines()
    return FAILED + b" ".join(line for line in lines if not _LOGGED.match(line))


def _path(number: int) -> str:
    return f"/dev/fd/{number}"


def _content(number: int, bytes_max: int) -> bytes:
    return os.pread(number, bytes_max, 0)


def main() -> None:
    memory_bytes, seconds, bytes_max = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES_MAX, _OPEN_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(compiled(sys.stdin.buffer.read(), bytes_max))


if __name__ == "__main__":
    main()
