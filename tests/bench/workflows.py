"""Figures of workflows: five steps each, beside DBOS and LangGraph on the same Postgres, and the cost of a step as a run grows."""

import math
import tempfile
from pathlib import Path

from pydantic import JsonValue

from tests.bench.baseline import Baseline, Unmeasured, measure_baseline
from tests.bench.baselines.steady_load import Measured, measure
from tests.bench.figures import Figure
from tests.bench.in_process import fresh_database
from tests.bench.runs import STEPS, Runs, definition, open_runs

IN_FLIGHT = 128
ROUNDS = 10_000
LONG_RUNS = 3
RUNS_PER_S_MIN = 500
ALONE_MS_MAX = 15
GROWTH_PERCENT_MAX = 20
BASELINES = (
    Baseline("DBOS", "dbos_workflows.py", ("dbos==3.4.0", "psycopg[binary]==3.3.9", "uvloop==0.22.1")),
    Baseline(
        "LangGraph",
        "langgraph_workflows.py",
        ("langgraph==1.2.22", "langgraph-checkpoint-postgres==3.2.0", "psycopg[binary,pool]==3.3.9", "uvloop==0.22.1"),
    ),
)
FIVE_STEPS: list[JsonValue] = [{step: {"call": step, "with": {"number": "${ .number }"}}} for step in STEPS]
"""Calls one after another; each is given what the one before it came to."""
LOOPS: dict[str, JsonValue] = {
    "calls": {"call": STEPS[0], "with": {"number": "${ $item }"}},
    "sets": {"set": {"number": "${ $item }"}},
}


def loop(step: JsonValue) -> list[JsonValue]:
    return [{"rounds": {"for": {"each": "item", "in": "${ .items }"}, "do": [{"step": step}]}}]


async def growth(runs: Runs, name: str) -> tuple[float, float]:
    """Milliseconds for a step in the first and in the last tenth of one long run."""
    await runs.run(name, {"items": list(range(ROUNDS))}, watch=True)
    # Of all appends the first two begin the run, and the last one may have fewer steps in it.
    written = runs.written_at[2:-1]
    steps_each = ROUNDS / len(written)
    tenth = len(written) // 10
    first, last = (part[-1] - part[0] for part in (written[: tenth + 1], written[-tenth - 1 :]))
    return first / tenth / steps_each * 1e3, last / tenth / steps_each * 1e3


async def growth_figures(runs: Runs) -> list[Figure]:
    figures: list[Figure] = []
    for what, step in LOOPS.items():
        await runs.register(definition(what, loop(step)))
        grown = sorted([await growth(runs, what) for _ in range(LONG_RUNS)], key=lambda found: found[1] / found[0])
        first, last = grown[LONG_RUNS // 2]
        percent = (last / first - 1) * 100
        note = f"the middle one of {LONG_RUNS}: {first:.3f} ms a step in the first tenth, {last:.3f} ms in the last"
        name = f"a run of {ROUNDS:,} {what}: a step costs more at its end by"
        figures.append(Figure(name, percent, "%", GROWTH_PERCENT_MAX, note=note))
    return figures


async def baseline_figures(server_url: str) -> dict[str, Measured | str]:
    """What was found for each baseline, or why nothing was."""
    found: dict[str, Measured | str] = {}
    for baseline in BASELINES:
        url = await fresh_database(server_url, f"bench_{baseline.name.lower()}")
        try:
            found[baseline.name] = await measure_baseline(baseline, url, IN_FLIGHT)
        except Unmeasured as why:
            found[baseline.name] = f"not measured: {why}"
    return found


async def workflow_figures(server_url: str, nats_url: str) -> list[Figure]:
    beside = await baseline_figures(server_url)
    url = await fresh_database(server_url, "bench_workflows")
    with tempfile.TemporaryDirectory(prefix="foldwork-bench-") as folder:
        async with open_runs(url, nats_url, Path(folder)) as runs:
            await runs.register(definition("five-steps", FIVE_STEPS))
            ours = await measure(lambda: runs.run("five-steps", {"number": 0}), IN_FLIGHT)
            confirmed_ms = await runs.confirmed() * 1e3
            grown = await growth_figures(runs)
    measured = {name: found for name, found in beside.items() if isinstance(found, Measured)}
    best = max((found.runs_per_s for found in measured.values()), default=None)
    ratio = None if best is None else ours.runs_per_s / best
    rates = ", ".join(f"{name} {found.runs_per_s:,.0f}/s" for name, found in measured.items())
    waits = ", ".join(f"{name} {found.alone_ms_p50:,.1f} ms" for name, found in measured.items())
    loaded = f"p50 {ours.loaded_ms_p50:,.0f} ms; confirmed by the log {confirmed_ms:,.0f} ms after the last"
    steps = "five-step workflows"
    return [
        *(_alone(f"{name}, {steps}, {IN_FLIGHT} in flight", found) for name, found in beside.items()),
        Figure(f"{steps}, {IN_FLIGHT} in flight", ours.runs_per_s, "/s", RUNS_PER_S_MIN, rates, ratio, note=loaded),
        Figure(f"{steps}, 1 in flight, p50", ours.alone_ms_p50, "ms", ALONE_MS_MAX, waits),
        Figure(f"{steps}, 1 in flight, p99", ours.alone_ms_p99, "ms"),
        *grown,
    ]


def _alone(name: str, found: Measured | str) -> Figure:
    if isinstance(found, str):
        return Figure(name, math.nan, "/s", note=found)
    note = f"p50 {found.loaded_ms_p50:,.0f} ms; 1 in flight: p50 {found.alone_ms_p50:,.1f} ms, p99 {found.alone_ms_p99:,.1f} ms"
    return Figure(name, found.runs_per_s, "/s", note=note)
