"""The body of an answer, unpacked within bounds: httpx would unpack a whole piece at once, a thousandfold if the other side likes."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping

import httpx

from infra.calls.contract import CallFailed

PIECES_AT_ONCE = 64
"""After so many pieces of a body others have their turn."""
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_BEGINS = b"\x1f"
_WINDOWS: Mapping[str, int] = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_PACKING_HEADERS = {"content-encoding", "content-length"}


def bounded(response: httpx.Response, bytes_max: int) -> httpx.Response:
    """The same answer with its body unpacked; reading it fails with CallFailed("communication") beyond `bytes_max`, packed or not.

    One gzip or deflate is undone, which is what was asked for; anything else is refused.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    stream = _Bounded(response.stream, "" if encoding == "identity" else encoding, bytes_max)
    dropped = _PACKING_HEADERS if encoding else set()
    headers = [(name, value) for name, value in response.headers.raw if name.decode().lower() not in dropped]
    return httpx.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, encoding: str, bytes_max: int) -> None:
        self._stream = stream
        self._encoding = encoding
        self._bytes_max = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacker = _Unpacker(self._encoding, self._bytes_max) if self._encoding else None
        packed_count = count = pieces = 0
        async for packed in self._stream:
            pieces += 1
            if pieces % PIECES_AT_ONCE == 0:
                # Of what has come already the next piece is there without a pause, and a piece may be one byte.
                await asyncio.sleep(0)
            piece = unpacker.unpack(packed) if unpacker else packed
            packed_count += len(packed)
            count += len(piece)
            if max(packed_count, count) > self._bytes_max:
                raise _too_long(self._bytes_max)
            yield piece
        if unpacker and packed_count and not unpacker.complete:
            raise CallFailed("communication", "The compressed body of the answer ends too early.")

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Unpacker:
    def __init__(self, encoding: str, bytes_max: int) -> None:
        if encoding not in _WINDOWS:
            raise CallFailed("communication", "The answer is packed in a way that was not asked for.")
        self._bytes_max = bytes_max
        self._window = _WINDOWS[encoding]
        self._zlib = zlib.decompressobj(self._window)
        self._is_over = False
        # "deflate" is a zlib stream, but some servers send it without the frame.
        self._may_lack_frame = encoding == "deflate"

    @property
    def complete(self) -> bool:
        return self._is_over or self._zlib.eof

    def unpack(self, packed: bytes) -> bytes:
        """What a piece of the body unpacks to. A gzip may have several members (RFC 1952), and padding after the last."""
        unpacked = b""
        while packed and not self._is_over:
            if self._zlib.eof:
                self._is_over = self._window != _GZIP or not packed.startswith(_GZIP_BEGINS)
                self._zlib = zlib.decompressobj(self._window)
                continue
            unpacked += self._unpack(packed)
            if len(unpacked) > self._bytes_max:
                raise _too_long(self._bytes_max)
            packed = self._zlib.unused_data
        return unpacked

    def _unpack(self, packed: bytes) -> bytes:
        try:
            piece = self._zlib.decompress(packed, self._bytes_max + 1)
        except zlib.error as broken:
            if not self._may_lack_frame:
                raise CallFailed("communication", "The compressed body of the answer cannot be unpacked.") from broken
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            self._may_lack_frame = False
            return self._unpack(packed)
        self._may_lack_frame = False
        if self._zlib.unconsumed_tail:
            raise _too_long(self._bytes_max)
        return piece


def _too_long(bytes_max: int) -> CallFailed:
    return CallFailed("communication", f"The answer has more than {bytes_max} bytes.")
