"""Ends tasks for certain, where a single cancellation can get lost.

On Python 3.11 `asyncio.wait_for` swallows a cancellation that comes while its result is on the way (bpo-37658, mended in 3.12), and
psycopg_pool waits in it for a free connection. A loop that was cancelled once at such a moment goes on for ever.
"""

import asyncio
from typing import Any, TypeVar

_AGAIN_S = 0.5
T = TypeVar("T")


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks until they have ended; what they raise is dropped."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def unharmed(task: "asyncio.Task[T]") -> T:
    """Wait for a task that goes on if who waits is cancelled; what it raises then is nobody's any more, and is not logged."""
    task.add_done_callback(_taken_note_of)
    return await asyncio.shield(task)


def _taken_note_of(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
