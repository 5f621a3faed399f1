"""Proto documents: fetched like any other, compiled by protoc, and kept for a while.

Guarantee: protoc, which is C++ and gets a text that anybody may have written, runs in a process of its own that cannot write a file,
is bounded in time and memory, and sees no other file than the types that come with it.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from infra.calls.contract import Arguments, CallContext, CallFailed, CallSettings
from infra.calls.documents import fetch_text
from infra.calls.proto_child import DONE, FAILED
from infra.calls.resources import digest_of

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

_ROOT = str(Path(__file__).parents[2])
_KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV")
_CHUNK_BYTES = 1 << 16


async def fetch_proto(resource: Arguments, context: CallContext) -> "DescriptorPool":
    """What the proto document that an external resource leads to describes; kept `document_s_max`, for those with the same credentials.

    It may import the types that come with protoc (`google/protobuf/*.proto`), and nothing else.
    CallFailed: as any exchange, and configuration if it is no proto document, or too large to be compiled.
    """
    settings, protos = context.settings, context.resources.protos
    key = kept_as(resource)
    if kept := protos.get(key):
        return kept
    text = (await fetch_text(resource, context)).encode()
    if len(text) > settings.proto_bytes_max:
        raise CallFailed("configuration", f"The proto document has more than {settings.proto_bytes_max} bytes.")
    async with context.resources.compiling:
        # Somebody else may have compiled it meanwhile.
        if kept := protos.get(key):
            return kept
        from infra.calls.proto_messages import pool_of

        pool = await asyncio.to_thread(pool_of, await _compiled(text, settings))
        protos.put(key, pool, settings.document_s_max)
    return pool


def kept_as(resource: Arguments) -> str:
    """The key of a compiled document among those that are kept."""
    return digest_of("proto", resource.get("endpoint"))


async def _compiled(text: bytes, settings: CallSettings) -> bytes:
    """The text as a serialized FileDescriptorSet, with what it imports."""
    limits = (settings.proto_memory_bytes_max, settings.proto_s_max, settings.proto_descriptor_bytes_max)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-s", "-P", "-m", "infra.calls.proto_child", *map(str, limits)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONPATH": _ROOT},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(settings.proto_s_max):
            answer = await _answer(process, text, settings.proto_descriptor_bytes_max)
            await process.wait()
    except TimeoutError as late:
        detail = f"The proto document could not be compiled within {settings.proto_s_max:g} s."
        raise CallFailed("configuration", detail) from late
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if answer[:1] == FAILED:
        raise CallFailed("configuration", f"The proto document is wrong: {answer[1:].decode(errors='replace')}")
    if answer[:1] != DONE:
        raise _too_much()
    return answer[1:]


async def _answer(process: Process, text: bytes, bytes_max: int) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(_CHUNK_BYTES):
        answer += piece
        if len(answer) > len(DONE) + bytes_max:
            raise _too_much()
    return bytes(answer)


def _too_much() -> CallFailed:
    return CallFailed("configuration", "The proto document is more than its compiler can take.")
