"""Writes that are joined: the same bytes in the same order, in fewer system calls."""

import asyncio

from infra.adapters.web_transport import JOINED_BYTES_MAX, JoiningTransport


class Wire(asyncio.Transport):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def get_write_buffer_size(self) -> int:
        return 0


def joining(wire: Wire) -> JoiningTransport:
    return JoiningTransport(wire, asyncio.get_running_loop())


class TestWhatIsWrittenInOneTurn:
    async def test_goes_out_together(self) -> None:
        wire = Wire()
        transport = joining(wire)
        transport.write(b"head ")
        transport.writelines([b"body", b" end"])
        assert (wire.writes, transport.get_write_buffer_size()) == ([], 13)
        await asyncio.sleep(0)
        assert (wire.writes, transport.get_write_buffer_size()) == ([b"head body end"], 0)

    async def test_goes_out_apart_from_the_next_turn(self) -> None:
        wire = Wire()
        transport = joining(wire)
        for data in (b"one", b"two"):
            transport.write(data)
            await asyncio.sleep(0)
        assert wire.writes == [b"one", b"two"]

    async def test_does_not_pile_up(self) -> None:
        wire = Wire()
        transport = joining(wire)
        for _ in range(5):
            transport.write(b"x" * (JOINED_BYTES_MAX // 2))
        assert sum(map(len, wire.writes)) >= 2 * JOINED_BYTES_MAX - JOINED_BYTES_MAX // 2
        assert transport.get_write_buffer_size() <= JOINED_BYTES_MAX

    async def test_goes_out_before_the_connection_closes(self) -> None:
        wire = Wire()
        transport = joining(wire)
        transport.write(b"last words")
        transport.close()
        assert (wire.writes, wire.ended) == ([b"last words"], "closed")

    async def test_is_dropped_when_the_connection_is_aborted(self) -> None:
        wire = Wire()
        transport = joining(wire)
        transport.write(b"never mind")
        transport.abort()
        await asyncio.sleep(0)
        assert (wire.writes, wire.ended) == ([], "aborted")
