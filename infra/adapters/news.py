"""Messages between processes about how far consumers have come. Hints only: all of them may be lost, so receivers also poll."""

import asyncio
from collections.abc import Callable

import orjson

from infra.adapters.nats_stream import NatsEventStream


class News:
    """`announce` what this process did; `listen` to others. Sent while NATS is away, news is dropped."""

    def __init__(self, stream: NatsEventStream) -> None:
        self._stream = stream
        self._subject = f"seen.{stream.shard}"
        self._positions: dict[str, int] = {}

    def announce(self, consumer: str, position: int) -> None:
        """A consumer has come this far."""
        if not self._positions:
            # What others announce in the same moment goes with it. A clock ticks in milliseconds: somebody would wait for two of them.
            asyncio.get_running_loop().call_soon(self._send)
        self._positions[consumer] = position

    def _send(self) -> None:
        positions, self._positions = self._positions, {}
        self._stream.tell(self._subject, orjson.dumps(positions))

    async def listen(self, told: Callable[[str, int], None]) -> None:
        """Call `told(consumer, position)` for each announcement."""

        def take(_subject: bytes, _reply: bytes, data: bytes, _headers: bytes) -> None:
            for consumer, position in orjson.loads(data).items():
                told(consumer, position)

        await self._stream.hear(self._subject, take)
