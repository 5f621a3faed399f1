"""Compares what the query API says with the totals of the input."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from read_side.demo.evidence import Evidence, JobSeen, StepSeen
from read_side.demo.log_audit import LogAudit
from read_side.demo.scenario import PIPELINE_KIND, POD_KIND, JsonObject, Message, Scenario, Step
from read_side.demo.totals import REWARD_WHOLE, Totals

GPU_MILLI_MS_PER_GPU_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `ok` is decided on exact values, which `expected` and `found` may show rounded."""

    name: str
    expected: JsonValue
    found: JsonValue
    ok: bool


def same(name: str, expected: JsonValue, found: JsonValue) -> Check:
    return Check(name, expected, found, expected == found)


def check_all(scenario: Scenario, totals: Totals, seen: Evidence) -> list[Check]:
    """Every comparison with the input, in the order in which it is shown."""
    return [
        *check_agents(scenario, totals, seen),
        *check_pipelines(totals, seen),
        *check_cluster(scenario, totals, seen),
        same("stream versions missing or twice", 0, seen.log.version_gaps),
        *check_read_models(seen),
    ]


def check_agents(scenario: Scenario, totals: Totals, seen: Evidence) -> Iterator[Check]:
    endings = Counter(task.status for task in seen.tasks)
    yield same("agent tasks", totals.runs.total(), len(seen.tasks))
    yield same("agent tasks completed", totals.runs["completed"], endings["completed"])
    yield same("agent tasks handed over", totals.runs["handed_over"], endings["handed_over"])
    yield same("agent tasks failed", totals.runs["failed"], endings["failed"])
    rewarded = sum(task.result == {"reward": REWARD_WHOLE} for task in seen.tasks)
    yield same("agent tasks with full reward", totals.rewarded, rewarded)
    yield same("messages", totals.messages, sum(task.messages + task.tool_replies for task in seen.tasks))
    yield same("tool replies", totals.tool_replies, sum(task.tool_replies for task in seen.tasks))
    yield same("tool errors", totals.tool_errors, sum(task.tool_errors for task in seen.tasks))
    steps = sum(len(run.steps) for run in scenario.runs)
    found = sum(_equal_steps(run.steps, seen.timelines.get(run.id, [])) for run in scenario.runs)
    yield same("steps word for word, in order", steps, found)


def check_pipelines(totals: Totals, seen: Evidence) -> Iterator[Check]:
    jobs = {job.job_id: job for job in seen.jobs if job.kind == PIPELINE_KIND}
    completed = [job for job in jobs.values() if job.status == "completed"]
    yield same("pipeline jobs completed", totals.pipeline_jobs, len(completed))
    yield same("pipeline milliseconds of work", totals.pipeline_ms, sum(job.duration_ms or 0 for job in completed))
    respected = sum(_started_after(job, jobs.get(parent)) for job in jobs.values() for parent in job.depends_on)
    yield same("pipeline edges, parent before child", totals.edges, respected)


def check_cluster(scenario: Scenario, totals: Totals, seen: Evidence) -> Iterator[Check]:
    pods = [job for job in seen.jobs if job.kind == POD_KIND]
    endings = Counter(pod.status for pod in pods)
    yield same("pods", totals.pods.total(), len(pods))
    for ending in ("completed", "failed", "cancelled"):
        yield same(f"pods {ending}", totals.pods[ending], endings[ending])
    cancelled = {pod.job_id for pod in pods if pod.status == "cancelled"}
    yield same("cancelled pods that started", 0, len(cancelled & seen.log.started))
    gpu_milli_ms = sum(pod.gpu_milli_ms for pod in pods)
    yield Check(
        "GPU-seconds",
        _gpu_seconds(totals.gpu_milli_ms),
        _gpu_seconds(gpu_milli_ms),
        gpu_milli_ms == totals.gpu_milli_ms,
    )
    yield same("nodes", len(scenario.nodes), len(seen.nodes))
    yield same("nodes ever over capacity (node board)", 0, sum(node.over_capacity for node in seen.nodes))
    yield same("reservations over capacity (replay)", 0, seen.log.over_capacity)
    yield same("reservations left", 0, seen.log.reserved + sum(len(node.reservations) for node in seen.nodes))
    yield same("releases of what was not reserved", 0, seen.log.unmatched_releases)
    yield same("jobs not ended exactly once", 0, sum(seen.log.endings[job.job_id] != 1 for job in seen.jobs))


def check_positions(*logs: LogAudit) -> Check:
    """Of the logs of all tenants: each position belongs to one event of one of them."""
    positions = set[int]().union(*(log.positions for log in logs))
    twice = sum(log.events for log in logs) - len(positions)
    return same("positions of the log, gapless", max(log.head for log in logs), len(positions) - twice)


def check_read_models(seen: Evidence) -> Iterator[Check]:
    """Every event once: the version of a row is that of its stream in the log, and there is a row for every stream."""
    versions: dict[str, Iterable[tuple[str, int]]] = {
        "agent": ((agent.agent_id, agent.version) for agent in seen.agents),
        "task": ((task.task_id, task.version) for task in seen.tasks),
        "job": ((job.job_id, job.version) for job in seen.jobs),
        "node": ((node.node_id, node.version) for node in seen.nodes),
    }
    for category, rows in versions.items():
        yield same(f"{category} events, each once", seen.log.count(category), counted_once(category, rows, seen.log))
    once = sum(len(rows) for rows in seen.timelines.values() if _is_gapless(rows))
    yield same("timeline rows, one a task event", seen.log.count("task"), once)
    for name, rows_seen in (("tasks", seen.tasks), ("nodes", seen.nodes), ("jobs", seen.jobs)):
        statuses = counts_in_words(Counter(row.status for row in rows_seen))
        yield same(f"summary of {name}", statuses, counts_in_words(seen.summaries[name].by_status))
    behind = sum(projection.position < seen.log.head for projection in seen.projections)
    yield same("read models behind the log", 0, behind)


def counts_in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def values_in_words(output: object) -> str:
    """The values of a JSON object, in the order of their names."""
    return ", ".join(str(output[name]) for name in sorted(output)) if isinstance(output, Mapping) else str(output)


def _equal_steps(steps: Iterable[Step], timeline: Iterable[StepSeen]) -> int:
    """How many steps are as recorded, place by place."""
    found = [row for row in timeline if row.kind is not None]
    return sum(_fields(step) == _seen_fields(row) for step, row in zip(steps, found, strict=False))


def _fields(step: Step) -> JsonObject:
    if isinstance(step, Message):
        return {"role": step.role, "content": step.content}
    return {
        "tool": step.tool,
        "call_id": step.call_id,
        "arguments": step.arguments,
        "reply": step.reply,
        "error": step.error,
    }


def _seen_fields(row: StepSeen) -> JsonObject:
    if row.kind == "message":
        return {"role": row.role, "content": row.content}
    return {
        "tool": row.tool,
        "call_id": row.call_id,
        "arguments": row.arguments,
        "reply": row.reply,
        "error": row.error,
    }


def _started_after(child: JobSeen, parent: JobSeen | None) -> bool:
    if parent is None or parent.ended_position is None or child.started_position is None:
        return False
    return parent.ended_position < child.started_position


def _gpu_seconds(gpu_milli_ms: int) -> float:
    return round(gpu_milli_ms / GPU_MILLI_MS_PER_GPU_SECOND, 2)


def counted_once(category: str, rows: Iterable[tuple[str, int]], log: LogAudit) -> int:
    """The events of the streams whose row is exactly as far as the log."""
    at = {f"{category}-{entity_id}": version for entity_id, version in rows}
    return sum(version for stream, version in at.items() if log.versions.get(stream) == version)


def _is_gapless(rows: list[StepSeen]) -> bool:
    return [row.stream_version for row in rows] == list(range(1, len(rows) + 1))
