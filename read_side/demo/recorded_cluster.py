"""Reads a GPU cluster trace in Alibaba's openb format (Weng et al., USENIX ATC 2023) as nodes and pods."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, field_validator

from read_side.demo.scenario import Node, NodeShape, Pod, PodEnding

NODES_GLOB = "openb/openb_node_list*.csv"
PODS_GLOB = "openb/openb_pod_list*.csv"
MODEL_SEPARATOR = "|"


class _Node(BaseModel):
    sn: str
    cpu_milli: int
    memory_mib: int
    gpu: int
    model: str


class _Pod(BaseModel):
    name: str
    cpu_milli: int
    memory_mib: int
    num_gpu: int
    gpu_milli: int
    gpu_spec: str
    qos: str
    pod_phase: str
    creation_time: int
    deletion_time: int
    scheduled_time: int | None

    @field_validator("scheduled_time", mode="before")
    @classmethod
    def _never(cls, text: str) -> str | None:
        return text or None


def load_nodes(folder: Path) -> tuple[Node, ...]:
    """All nodes of the trace."""
    nodes = [_Node.model_validate(row) for row in _rows(folder, NODES_GLOB)]
    return tuple(
        Node(_identifier(node.sn), NodeShape(node.cpu_milli, node.memory_mib, node.gpu, node.model or None))
        for node in nodes
    )


def load_pods(folder: Path) -> tuple[Pod, ...]:
    """All pods of the trace, in the order of their creation."""
    pods = [_pod(_Pod.model_validate(row)) for row in _rows(folder, PODS_GLOB)]
    return tuple(sorted(pods, key=lambda pod: pod.created_s))


def _rows(folder: Path, pattern: str) -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []
    for file in sorted(folder.glob(pattern)):
        with file.open(newline="", encoding="utf-8") as lines:
            found.extend(csv.DictReader(lines))
    return found


def _pod(pod: _Pod) -> Pod:
    scheduled_s = pod.scheduled_time
    return Pod(
        id=_identifier(pod.name),
        cpu_milli=pod.cpu_milli,
        memory_mib=pod.memory_mib,
        gpu_count=pod.num_gpu,
        gpu_milli=pod.gpu_milli if pod.num_gpu else 0,
        gpu_models=tuple(model for model in pod.gpu_spec.split(MODEL_SEPARATOR) if model),
        quality=pod.qos,
        ending=_ending(pod),
        created_s=pod.creation_time,
        duration_ms=0 if scheduled_s is None else (pod.deletion_time - scheduled_s) * 1_000,
    )


def _ending(pod: _Pod) -> PodEnding:
    """Whatever was still running when the trace was taken was deleted later: it counts as completed."""
    if pod.scheduled_time is None:
        return "cancelled"
    return "failed" if pod.pod_phase == "Failed" else "completed"


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:-]", "-", name)
