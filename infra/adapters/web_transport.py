"""A transport that writes once per turn of the event loop.

uvicorn writes the head and the body of an answer apart, and uvloop makes a system call of each write: together they are a tenth of the
work on a short answer.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

JOINED_BYTES_MAX = 65_536

Data = bytes | bytearray | memoryview


class JoiningTransport(asyncio.Transport):
    """Passes everything on; what is written waits until this turn of the loop ends, or until it is JOINED_BYTES_MAX."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._call_soon = loop.call_soon
        self._parts: list[Data] = []
        self._size = 0
        self._passed_on = 0

    @property
    def taken(self) -> int:
        """How many bytes the socket has taken so far."""
        return self._passed_on - self._transport.get_write_buffer_size()

    def write(self, data: Data) -> None:
        if not self._parts:
            self._call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > JOINED_BYTES_MAX:
            self._flush()

    def _flush(self) -> None:
        parts = self._parts
        if parts:
            self._passed_on += self._size
            self._parts, self._size = [], 0
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts.clear()
        self._transport.abort()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
