"""Runs functions that are not async in threads of their own.

Not in the loop's pool: it is small, it also looks up host names, and a process waits at its end for what is in it, for ever if need
be. These threads end with the process, wherever they are.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns or raises; whoever is cancelled leaves it to itself."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(*outcome: Any) -> None:
        if not done.done():
            done.set_result(outcome)

    def run() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = context.run(function, *arguments), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name=getattr(function, "__name__", "task"), daemon=True).start()
    result, error = await done
    if error is not None:
        raise error
    return result
