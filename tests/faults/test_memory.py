"""Memory: what each process takes after the demo, and that none grows under a steady load once its caches are full."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from read_side.demo.invented import invented_scenario
from read_side.demo.pace import SLOW, SWIFT
from read_side.demo.play import play
from read_side.demo.progress import Bars
from read_side.demo.scenario import Pod, Scenario
from tests.faults.system import BreakableSystem, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers]

LONG_S = 600.0
SOAK_S = float(os.environ.get("FOLDWORK_SOAK_S", "60"))
WARM_UP_S = SOAK_S / 2
SAMPLE_S = 1.0
FINISH_S_MAX = 60.0
PODS_PER_S = 20
STEP_PAUSE_S = 0.25
MIB_MAX = 250.0
MIB_PER_MINUTE_MAX = 1.0
ARENA_MIB = 1.0
"""Python takes memory in pieces of this size: in less than ten minutes one piece more would look like growth."""
SMALL_CACHES = {
    "cached_streams_max": 500,
    "projector_rows_max": 500,
    "live_buffer_events_max": 1_000,
    "saga_snapshot_events": 1_000,
    "mirror_bytes_max": 16_777_216,
    "work_bytes_max": 16_777_216,
    "lifecycle_bytes_max": 16_777_216,
}
"""So small that they are full when the warm-up ends: what grows after it would grow for ever."""

SLOW_TO_FILL = ("nats",)
"""It keeps the blocks of its files that were used last, some of 4 to 8 MiB, and twice of that until it collects: minutes of this load."""

Sample = Mapping[str, float]


def steady_scenario(seconds: float) -> Scenario:
    """So many pods each second on the same few nodes, and a few tasks that go on all the time."""
    whole = invented_scenario()
    pods = [_pod(whole.pods[number % len(whole.pods)], number) for number in range(int(seconds * PODS_PER_S))]
    runs = [replace(run, steps=run.steps * int(seconds / STEP_PAUSE_S)) for run in whole.runs[:8]]
    return replace(whole, runs=tuple(runs), graphs=(), pods=tuple(pods))


def _pod(pod: Pod, number: int) -> Pod:
    return replace(pod, id=f"steady-{number}", created_s=number, duration_ms=min(pod.duration_ms, 10_000))


def memory_mib(system: BreakableSystem) -> Sample:
    """What each process takes; of Postgres the largest of its processes, without what they all share."""
    found = {name: _kib(system.pid(name), "VmRSS") for name in system.names if name != "postgres"}
    found["postgres"] = max(
        _kib(pid, "RssAnon") for pid in (system.pid("postgres"), *_children(system.pid("postgres")))
    )
    return {name: kib / 1_024 for name, kib in found.items()}


def _kib(pid: int | None, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _children(pid: int | None) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def slope_per_minute(times: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the line that lies closest (least squares)."""
    mean_time, mean_value = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - mean_time) ** 2 for at in times)
    together = sum((at - mean_time) * (value - mean_value) for at, value in zip(times, values, strict=True))
    return 60 * together / spread


def in_words(sample: Sample) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in sorted(sample.items()))


class TestTheMemoryOfEachProcess:
    async def test_is_small_after_the_demo(self, saw: Callable[[str], None]) -> None:
        async with running_system(Settings()) as system:
            assert await play(invented_scenario(), system.target("default"), SWIFT, Bars(shown=False))
            found = memory_mib(system)
        saw(f"MiB: {in_words(found)}")
        assert max(found.values()) < MIB_MAX

    @pytest.mark.timeout(SOAK_S + WARM_UP_S + 2 * FINISH_S_MAX)
    async def test_does_not_grow_under_a_steady_load(self, saw: Callable[[str], None]) -> None:
        length_s = WARM_UP_S + SOAK_S
        scenario = steady_scenario(length_s)
        pace = replace(SLOW, submission_s=length_s, step_pause_s=STEP_PAUSE_S, work_s_max=length_s + FINISH_S_MAX)
        samples: list[Sample] = []
        times: list[float] = []
        async with running_system(Settings.model_validate(SMALL_CACHES)) as system:
            target = system.target("default")
            work = asyncio.create_task(play(scenario, target, pace, Bars(shown=False)))
            await asyncio.wait([work], timeout=WARM_UP_S)
            until = time.monotonic() + SOAK_S
            while time.monotonic() < until and not work.done():
                times.append(time.monotonic())
                samples.append(memory_mib(system))
                await asyncio.sleep(SAMPLE_S)
            assert not work.done(), "the load ended before its time"
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        slopes = {name: slope_per_minute(times, [sample[name] for sample in samples]) for name in samples[0]}
        saw(
            f"MiB a minute over {times[-1] - times[0]:.0f} s: {in_words(slopes)}; MiB at the end: {in_words(samples[-1])}"
        )
        assert max(max(sample.values()) for sample in samples) < MIB_MAX
        allowed = MIB_PER_MINUTE_MAX + (ARENA_MIB * 60 / SOAK_S if SOAK_S < LONG_S else 0.0)
        held = slopes if SOAK_S >= LONG_S else slopes.keys() - SLOW_TO_FILL
        assert max(slopes[name] for name in held) <= allowed
