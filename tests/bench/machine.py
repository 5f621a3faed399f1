"""How quick the processors are while it is measured: those of a shared machine differ by half within minutes, and all figures with them."""

import asyncio
import sys
from statistics import median

from tests.bench.figures import Figure

PROCESSES = 2
ROUNDS = 5
COUNTING = """
import time
def count(to):
    found = 0
    for number in range(to):
        found += number
    return found
begun = time.perf_counter()
count(5_000_000)
print(5 / (time.perf_counter() - begun))
"""


async def _millions_per_s() -> float:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COUNTING, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return float(printed)


async def machine_figure(when: str) -> Figure:
    """Additions in a loop of Python, millions a second in each of two processes at once."""
    found: list[float] = []
    for _ in range(ROUNDS):
        found += await asyncio.gather(*(_millions_per_s() for _ in range(PROCESSES)))
    return Figure(
        f"bare Python on both cores, {when}", median(found), "M/s", note=f"{min(found):,.0f} to {max(found):,.0f}"
    )
