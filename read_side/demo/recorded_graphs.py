"""Reads executions of pipelines in the WfCommons format (WfInstances, DOI 10.5281/zenodo.12510982) as graphs of jobs.

Their commands are left out: they are the shell text of other people's programs, and nothing here runs it.
"""

import re
from pathlib import Path

from pydantic import BaseModel

from read_side.demo.scenario import Graph, GraphTask, parents_first

GRAPHS_FOLDER = Path("nextflow")
CPU_MILLI_MIN = 100
MEMORY_MIB_MIN = 64
BYTES_PER_MIB = 1_048_576
MILLI_PER_PERCENT = 10


class _Specified(BaseModel):
    id: str
    name: str
    parents: tuple[str, ...] = ()


class _Executed(BaseModel):
    id: str
    runtimeInSeconds: float = 0
    memoryInBytes: int = 0
    avgCPU: float = 0


class _Specification(BaseModel):
    tasks: tuple[_Specified, ...]


class _Execution(BaseModel):
    tasks: tuple[_Executed, ...]


class _Workflow(BaseModel):
    specification: _Specification
    execution: _Execution


class _Instance(BaseModel):
    name: str
    workflow: _Workflow


def load_graphs(folder: Path) -> tuple[Graph, ...]:
    """One graph for each file, in the order of the file names."""
    files = sorted((folder / GRAPHS_FOLDER).glob("*.json"))
    return tuple(_graph(file.stem, _Instance.model_validate_json(file.read_bytes())) for file in files)


def _graph(stem: str, instance: _Instance) -> Graph:
    """Ids are numbered, since the recorded ones are longer and freer than an id may be; they go into the payload."""
    prefix = re.sub(r"[^A-Za-z0-9_.-]", "-", stem)
    specified = instance.workflow.specification.tasks
    executed = {task.id: task for task in instance.workflow.execution.tasks}
    ids = {task.id: f"{prefix}.{number:04}" for number, task in enumerate(specified)}
    tasks = [_task(task, executed.get(task.id) or _Executed(id=task.id), ids) for task in specified]
    return Graph(re.sub(r"[^A-Za-z0-9 _.:/+-]", "-", instance.name), parents_first(tasks))


def _task(task: _Specified, executed: _Executed, ids: dict[str, str]) -> GraphTask:
    return GraphTask(
        id=ids[task.id],
        name=task.name,
        recorded_id=task.id,
        parents=tuple(ids[parent] for parent in task.parents),
        cpu_milli=max(CPU_MILLI_MIN, round(executed.avgCPU * MILLI_PER_PERCENT)),
        memory_mib=max(MEMORY_MIB_MIN, -(-executed.memoryInBytes // BYTES_PER_MIB)),
        duration_ms=round(executed.runtimeInSeconds * 1_000),
    )
