"""Ends tasks for certain, where a single cancellation can get lost.

On Python 3.11 `asyncio.wait_for` swallows a cancellation that comes while its result is on the way (bpo-37658, mended in 3.12), and
nats-py waits in it. A loop that was cancelled once at such a moment, for example one that tries to connect, goes on for ever.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

AGAIN_S = 0.5
T = TypeVar("T")


async def end(*tasks: "asyncio.Future[Any]", again_s: float | None = None) -> None:
    """Cancel tasks until they have ended; what they raise is dropped."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_S if again_s is None else again_s)
    await asyncio.gather(*tasks, return_exceptions=True)


async def ended(work: Coroutine[Any, Any, T], s_max: float | None = None) -> T:
    """What work comes to; it has ended when this was cancelled or took longer. Raises TimeoutError."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=s_max)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await end(task)


def is_stopped() -> bool:
    """Whether somebody has cancelled the task that runs: else a CancelledError is that of something it waited for."""
    running = asyncio.current_task()
    return running is not None and running.cancelling() > 0
