"""Ends tasks for certain, where one cancellation can get lost.

On Python 3.11 `asyncio.wait_for` swallows a cancellation that comes at the moment at which its own wait ends (bpo-37658, mended in
3.12), and psycopg waits for the server in that way. A loop that was cancelled only once then goes on for ever.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_AGAIN_S = 0.1


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended; what they raise is dropped."""
    while True:
        running = [task for task in tasks if not task.done()]
        if not running:
            break
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; a cancellation of the caller is never lost in it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,))
        return task.result()
    finally:
        await end(task)
