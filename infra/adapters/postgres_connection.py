"""A connection to Postgres that watches its socket as long as it lives.

psycopg registers the socket with the loop for each wait and takes it back after it, which takes longer than Postgres takes to answer a
short query. This one registers once, and a descriptor of its own for the same socket: libpq may close its descriptor at any time, and
psycopg may still wait for it in its own way, as it does to cancel a query. What the loop watches is not the socket itself but an epoll that
watches it: uvloop gives up a descriptor on which it sees an error, and whoever waits then would wait for ever.
"""

import asyncio
import json
import os
import select
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads
from psycopg.waiting import Ready, Wait

Found = TypeVar("Found")

_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 63) - 1
_CANCEL_S_MAX = 5.0
_LOOK_AGAIN_S = 1.0
_CAN_WATCH = hasattr(select, "epoll")
"""Linux; elsewhere psycopg waits in its own way."""


def _whole_number(digits: str) -> int | float:
    number = int(digits)
    return number if _INTEGER_MIN <= number <= _INTEGER_MAX else float(digits)


def load_json(text: str | bytes) -> Any:
    """JSON as users may send it, from a jsonb column: Postgres writes 1e20 with all its digits, and we have no such whole numbers."""
    return json.loads(text, parse_int=_whole_number)


class WatchedConnection(psycopg.AsyncConnection[Any]):
    """As an AsyncConnection, for one loop; it must be closed, since the loop holds it until then."""

    _watched: int | None = None
    _watch: "select.epoll"
    _loop: asyncio.AbstractEventLoop
    _woken: "asyncio.Future[Ready] | None" = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        set_json_loads(load_json, self)

    async def wait(self, gen: PQGen[Found], interval: float = 0.0, timeout: float | None = None) -> Found:
        """Do what a generator of psycopg does, whenever the socket is ready. A query that is interrupted is cancelled, as psycopg does."""
        if timeout is not None or not _CAN_WATCH:
            return await super().wait(gen, timeout=timeout)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(await self._ready_for(wanted))
        except StopIteration as done:
            found: Found = done.value
            return found
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await self._cancel(gen)
            raise

    async def close(self) -> None:
        self._look_away()
        await super().close()

    async def _ready_for(self, wanted: Wait) -> Ready:
        if self._watched is None:
            self._loop = asyncio.get_running_loop()
            self._watched = os.dup(self.pgconn.socket)
            self._watch = select.epoll()
            self._watch.register(self._watched, select.EPOLLIN)
            self._loop.add_reader(self._watch.fileno(), self._wake, Ready.R)
        writes, watched = wanted & Wait.W, self._watched
        self._woken = self._loop.create_future()
        if writes:
            self._loop.add_writer(watched, self._wake, Ready.W)
        # Whatever a loop may miss then costs a second, and not the process.
        looking_again = self._loop.call_later(_LOOK_AGAIN_S, self._look_away)
        try:
            return await self._woken
        finally:
            looking_again.cancel()
            self._woken = None
            if writes and self._watched == watched:
                self._loop.remove_writer(watched)

    def _wake(self, ready: Ready) -> None:
        if self._woken is None:
            # Nobody asked: the server has ended the connection, or has more to say than was waited for.
            self._look_away()
        elif not self._woken.done():
            self._woken.set_result(ready)

    def _look_away(self) -> None:
        """Watch no longer, and have whoever waits see for himself: he watches anew if there is nothing yet."""
        watched, self._watched = self._watched, None
        if watched is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._loop.remove_writer(watched)
            self._watch.close()
            os.close(watched)
            if self._woken is not None and not self._woken.done():
                self._woken.set_result(Ready.R)

    async def _cancel(self, gen: PQGen[Any]) -> None:
        """Have the server end the query, so that the connection can be used again; it cannot if that does not help."""
        try:
            await self.cancel_safe(timeout=_CANCEL_S_MAX)
            await super().wait(gen, timeout=_CANCEL_S_MAX)
        except psycopg.errors.QueryCanceled:
            pass
        except BaseException as failed:
            self._look_away()
            self.pgconn.finish()
            if not isinstance(failed, Exception):
                raise
