"""Runs the tasks of a process together: if one breaks down the process ends, a signal to stop ends them in order."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any

import structlog
import uvloop

from infra.cancellation import end

log = structlog.get_logger()

_GC_THRESHOLDS = (20_000, 20, 20)
_NICENESS = 5


async def run_together(*tasks: Coroutine[Any, Any, None], died: Awaitable[None] | None = None) -> None:
    """Run until SIGTERM or SIGINT, or until a task ends, which raises: none of them is meant to."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = [asyncio.create_task(task) for task in tasks]
    watched: list[asyncio.Future[Any]] = [*running, asyncio.create_task(stop.wait())]
    if died is not None:
        watched.append(asyncio.ensure_future(died))
    done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    await end(*watched)
    if not stop.is_set():
        for ended in done:
            ended.result()
        raise RuntimeError("a task of this process ended on its own")


def collect_garbage_less_often() -> None:
    """What is loaded by now stays for ever, and most of what comes later dies young: look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def run_process(main: Coroutine[Any, Any, None], yields: bool = False) -> None:
    """Run a process to its end on uvloop; a breakdown is logged and ends it with code 1.

    One that `yields` gets less of a processor that others want too: what follows the log may come later, what writes it may not.
    """
    if yields:
        os.nice(_NICENESS)
    collect_garbage_less_often()
    try:
        uvloop.run(main)
    except Exception as breakdown:
        log.critical("process ends", error=type(breakdown).__name__, exc_info=breakdown)
        sys.exit(1)
