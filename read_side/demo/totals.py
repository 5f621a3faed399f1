"""What the read models must say at the end: the totals of a scenario, or of the recorded files themselves.

`totals_of_files` reads the files plainly and on its own, so that a mistake of the loaders shows as a difference.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import orjson

from read_side.demo.recorded_cluster import PODS_GLOB
from read_side.demo.recorded_graphs import GRAPHS_FOLDER
from read_side.demo.recorded_runs import ERROR_MARK, RUNS_FILE, STOP_MARK, TRANSFER_TOOL
from read_side.demo.scenario import Message, Scenario, ToolCall

REWARD_WHOLE = 1.0


class _RecordedMessage(TypedDict):
    role: str
    name: str
    content: str | None


class _RecordedRun(TypedDict):
    reward: float
    traj: list[_RecordedMessage]


@dataclass(slots=True)
class Totals:
    """Counts; `gpu_milli_ms` is thousandths of a GPU times milliseconds, exact; `edges` and `pipeline_ms` of all graphs."""

    runs: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    tool_replies: int = 0
    tool_errors: int = 0
    rewarded: int = 0
    pipelines: int = 0
    pipeline_jobs: int = 0
    edges: int = 0
    pipeline_ms: int = 0
    pods: Counter[str] = field(default_factory=Counter)
    gpu_milli_ms: int = 0


def totals_of(scenario: Scenario) -> Totals:
    """The totals of what is going to be played."""
    found = Totals(runs=Counter(run.ending for run in scenario.runs), pods=Counter(pod.ending for pod in scenario.pods))
    for run in scenario.runs:
        replies = [step for step in run.steps if isinstance(step, ToolCall) and step.reply is not None]
        found.tool_replies += len(replies)
        found.tool_errors += sum(step.error is not None for step in replies)
        found.messages += len(replies) + sum(isinstance(step, Message) for step in run.steps)
        found.rewarded += run.ending == "completed" and run.reward == REWARD_WHOLE
    for graph in scenario.graphs:
        found.pipelines += 1
        found.pipeline_jobs += len(graph.tasks)
        found.edges += sum(len(task.parents) for task in graph.tasks)
        found.pipeline_ms += sum(task.duration_ms for task in graph.tasks)
    found.gpu_milli_ms = sum(pod.gpu_count * pod.gpu_milli * pod.duration_ms for pod in scenario.pods)
    return found


def totals_of_files(folder: Path) -> Totals:
    """The totals of the recorded files."""
    found = Totals()
    if (folder / RUNS_FILE).exists():
        _add_runs(found, orjson.loads((folder / RUNS_FILE).read_bytes()))
    for file in (folder / GRAPHS_FOLDER).glob("*.json"):
        workflow = orjson.loads(file.read_bytes())["workflow"]
        found.pipelines += 1
        found.pipeline_jobs += len(workflow["specification"]["tasks"])
        found.edges += sum(len(task["parents"]) for task in workflow["specification"]["tasks"])
        found.pipeline_ms += sum(round(task["runtimeInSeconds"] * 1_000) for task in workflow["execution"]["tasks"])
    for file in folder.glob(PODS_GLOB):
        with file.open(newline="", encoding="utf-8") as lines:
            _add_pods(found, csv.DictReader(lines))
    return found


def _add_runs(found: Totals, runs: Iterable[_RecordedRun]) -> None:
    for run in runs:
        messages = run["traj"]
        replies = [message for message in messages if message["role"] == "tool"]
        transferred = any(reply["name"] == TRANSFER_TOOL for reply in replies)
        stopped = STOP_MARK in (messages[-1]["content"] or "")
        ending = "handed_over" if transferred else "completed" if stopped else "failed"
        found.runs[ending] += 1
        found.messages += len(messages)
        found.tool_replies += len(replies)
        found.tool_errors += sum((reply["content"] or "").startswith(ERROR_MARK) for reply in replies)
        found.rewarded += ending == "completed" and run["reward"] == REWARD_WHOLE


def _add_pods(found: Totals, pods: Iterable[Mapping[str, str]]) -> None:
    for pod in pods:
        if not pod["scheduled_time"]:
            found.pods["cancelled"] += 1
            continue
        found.pods["failed" if pod["pod_phase"] == "Failed" else "completed"] += 1
        ran_ms = (int(pod["deletion_time"]) - int(pod["scheduled_time"])) * 1_000
        found.gpu_milli_ms += int(pod["num_gpu"]) * int(pod["gpu_milli"]) * ran_ms
