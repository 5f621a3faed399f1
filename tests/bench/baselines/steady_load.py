"""A steady load of workflows and how it is measured; the same for Foldwork and for what it is compared with.

Imports the standard library only, since it also runs in the environments of others.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

RunOnce = Callable[[], Awaitable[object]]
"""Starts one workflow and returns when its end is on disk."""

LOAD_S = 6.0
ALONE_RUNS = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """Workflows a second with so many in flight, and how long one takes, in milliseconds: then, and when it is alone."""

    in_flight: int
    runs_per_s: float
    loaded_ms_p50: float
    alone_ms_p50: float
    alone_ms_p99: float


async def measure(run_once: RunOnce, in_flight: int) -> Measured:
    """One after another first; then so many in flight, once to warm up, and for LOAD_S."""
    alone = await one_by_one(run_once, ALONE_RUNS)
    await load(run_once, in_flight, 0.0)
    rate, loaded = await load(run_once, in_flight, LOAD_S)
    return Measured(in_flight, rate, share(loaded, 0.5), share(alone, 0.5), share(alone, 0.99))


async def one_by_one(run_once: RunOnce, runs: int) -> list[float]:
    """How long each took, in seconds, sorted; those at the beginning, when nothing is warm, are left out."""
    taken: list[float] = []
    for _ in range(runs + runs // 10):
        begun = time.perf_counter()
        await run_once()
        taken.append(time.perf_counter() - begun)
    return sorted(taken[runs // 10 :])


async def load(run_once: RunOnce, in_flight: int, for_s: float) -> tuple[float, list[float]]:
    """Workflows a second and how long each took, in seconds, sorted; in each place a next one begins until the time is up, at least one.

    All of them count, to the end of the last: they may end in waves of as many as are in flight, which a window of time would cut.
    """
    taken: list[float] = []
    first = time.perf_counter()

    async def work() -> None:
        while True:
            begun = time.perf_counter()
            await run_once()
            taken.append(time.perf_counter() - begun)
            if time.perf_counter() - first >= for_s:
                return

    await asyncio.gather(*(work() for _ in range(in_flight)))
    return len(taken) / (time.perf_counter() - first), sorted(taken)


def share(sorted_s: list[float], of: float) -> float:
    """The value in milliseconds below which this share of them lies."""
    return sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * of))] * 1e3


def tell(measured: Measured) -> None:
    """The last line that a program in another environment prints."""
    print(json.dumps(asdict(measured)), flush=True)
