"""Core NATS messages between processes: how far a consumer has come. Hints only: all of them may be lost, so receivers also poll."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

log = structlog.get_logger()


class News:
    """`announce` what this process did; `listen` to others. Sent while NATS is away, news is dropped."""

    def __init__(self, client: Client, shard: int) -> None:
        self._client = client
        self._shard = shard
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, nats_url: str, shard: int, name: str) -> "News":
        """Connects in the background if NATS is not there yet."""
        client = Client()
        news = cls(client, shard)
        news._spawn(news._open(nats_url, name))
        return news

    async def _open(self, nats_url: str, name: str) -> None:
        async def quiet(error: Exception) -> None:
            log.debug("nats", cause=type(error).__name__)

        while not self._client.is_connected:
            with contextlib.suppress(OSError, nats.errors.Error, TimeoutError):
                await self._client.connect(
                    nats_url,
                    name=name,
                    error_cb=quiet,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    allow_reconnect=True,
                )
                return
            await asyncio.sleep(0.2)

    def announce(self, consumer: str, position: int) -> None:
        """A consumer has come this far."""
        if self._client.is_connected:
            self._spawn(self._publish(f"seen.{self._shard}.{consumer}", str(position).encode()))

    async def _publish(self, subject: str, data: bytes) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.publish(subject, data)

    def listen(self, told: Callable[[str, int], None]) -> None:
        """Call `told(consumer, position)` for each announcement."""

        async def receive(message: Msg) -> None:
            told(message.subject.rpartition(".")[2], int(message.data))

        async def subscribe() -> None:
            while not self._client.is_connected:
                await asyncio.sleep(0.1)
            await self._client.subscribe(f"seen.{self._shard}.*", cb=receive)

        self._spawn(subscribe())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.close()
