"""An event loop in a thread of its own, for synchronous code that uses our asynchronous parts.

Guarantee: when it is closed, whoever still waits for a call is told; nobody hangs.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from infra.cancellation import end
from infra.errors import StoreUnavailable

T = TypeVar("T")


class LoopThread:
    """Calls from many threads run side by side in the loop. Not to be called from within it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._open = True
        self._submitting = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for what it gives or raises. Raises StoreUnavailable once it is closed."""
        try:
            return self.spawn(work).result()
        except CancelledError as cancelled:
            raise StoreUnavailable("The event loop of this part was closed.") from cancelled

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine until it ends or the thread is closed."""
        with self._submitting:
            if not self._open:
                work.close()
                raise StoreUnavailable("The event loop of this part was closed.")
            return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    def close(self, farewell: Coroutine[Any, Any, None]) -> None:
        """Cancel what still runs, do one thing last, and end the thread."""
        with self._submitting:
            if not self._open:
                farewell.close()
                return
            self._open = False
        asyncio.run_coroutine_threadsafe(self._end(farewell), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self, farewell: Coroutine[Any, Any, None]) -> None:
        await end(*self._tasks)
        await farewell
