"""Fixtures for the demo: the recorded input, a small scenario, and what a faultless system would answer to it."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from read_side.demo.evidence import (
    AgentSeen,
    Evidence,
    JobSeen,
    NodeSeen,
    ProjectionSeen,
    StepSeen,
    SummarySeen,
    TaskSeen,
)
from read_side.demo.invented import invented_scenario
from read_side.demo.log_audit import LogAudit
from read_side.demo.queries import WireEvent
from read_side.demo.recorded import data_folder
from read_side.demo.scenario import PIPELINE_KIND, POD_KIND, JsonObject, Message, Run, Scenario


@pytest.fixture(scope="session")
def recorded_folder() -> Path:
    folder = data_folder(None)
    if folder is None or not (folder / "openb").is_dir():
        pytest.skip("the recorded input is not here: set FOLDWORK_DATA")
    return folder


@pytest.fixture
def scenario() -> Scenario:
    return invented_scenario()


class FaultlessSystem:
    """Writes the log that a faultless system would have at the end, and the rows that go with it."""

    def __init__(self) -> None:
        self.log = LogAudit()
        self.evidence = Evidence(self.log, [], [], {}, [], [], {}, [])

    def happen(self, stream: str, event_type: str, data: JsonObject | None = None) -> int:
        version = self.log.versions.get(stream, 0) + 1
        position = self.log.head + 1
        self.log.see(
            WireEvent(position=position, type=event_type, subject=stream, streamversion=version, data=data or {})
        )
        return position

    def play(self, scenario: Scenario) -> Evidence:
        for agent in scenario.agents:
            self.happen(f"agent-{agent.id}", "agent.created")
            self.evidence.agents.append(AgentSeen(agent_id=agent.id, status="created", version=1))
        for node in scenario.nodes:
            shape = node.shape
            capacity: JsonObject = {
                "cpu_milli": shape.cpu_milli,
                "memory_mib": shape.memory_mib,
                "gpu_count": shape.gpu_count,
            }
            self.happen(f"node-{node.id}", "node.registered", capacity)
            seen = NodeSeen(node_id=node.id, status="online", over_capacity=False, reservations={}, version=1)
            self.evidence.nodes.append(seen)
        for run in scenario.runs:
            self._play_run(run)
        self._play_jobs(scenario)
        summarised: dict[str, Sequence[TaskSeen | NodeSeen | JobSeen]] = {
            "tasks": self.evidence.tasks,
            "nodes": self.evidence.nodes,
            "jobs": self.evidence.jobs,
        }
        for name, rows in summarised.items():
            by_status = Counter(row.status for row in rows)
            self.evidence.summaries[name] = SummarySeen(by_status=by_status)
        self.evidence.projections.append(ProjectionSeen(name="job_board", position=self.log.head))
        return self.evidence

    def _play_run(self, run: Run) -> None:
        rows = [_blank(1), *(_blank(0) for _ in run.steps), _blank(0)]
        self.happen(f"task-{run.id}", "task.requested")
        for number, step in enumerate(run.steps, start=1):
            self.happen(f"task-{run.id}", "task.step_recorded")
            fields = {name: getattr(step, name) for name in step.__slots__}
            kind = "message" if isinstance(step, Message) else "tool_call"
            rows[number] = rows[number].model_copy(update={**fields, "kind": kind})
        self.happen(f"task-{run.id}", f"task.{run.ending}")
        rows = [row.model_copy(update={"stream_version": version}) for version, row in enumerate(rows, start=1)]
        self.evidence.timelines[run.id] = rows
        tools = [row for row in rows if row.kind == "tool_call"]
        self.evidence.tasks.append(
            TaskSeen(
                task_id=run.id,
                status=run.ending,
                agent_id=run.agent_id,
                messages=sum(row.kind == "message" for row in rows),
                tool_calls=len(tools),
                tool_replies=sum(row.reply is not None for row in tools),
                tool_errors=sum(row.error is not None for row in tools),
                result={"reward": run.reward} if run.ending == "completed" else None,
                version=len(rows),
            )
        )

    def _play_jobs(self, scenario: Scenario) -> None:
        for graph in scenario.graphs:
            for task in graph.tasks:
                self._play_job(task.id, PIPELINE_KIND, "completed", task.duration_ms, 0, task.parents)
        for pod in scenario.pods:
            share = pod.gpu_count * pod.gpu_milli
            self._play_job(pod.id, POD_KIND, pod.ending, pod.duration_ms, share, ())

    def _play_job(
        self, job_id: str, kind: str, ending: str, duration_ms: int, share: int, parents: tuple[str, ...]
    ) -> None:
        self.happen(f"job-{job_id}", "job.submitted")
        started = None if ending == "cancelled" else self.happen(f"job-{job_id}", "job.started")
        ended = self.happen(f"job-{job_id}", f"job.{ending}")
        self.evidence.jobs.append(
            JobSeen(
                job_id=job_id,
                kind=kind,
                status=ending,
                attempt=1,
                depends_on=parents,
                duration_ms=duration_ms,
                gpu_milli_ms=share * duration_ms,
                version=self.log.versions[f"job-{job_id}"],
                started_position=started,
                ended_position=ended,
            )
        )


def _blank(version: int) -> StepSeen:
    return StepSeen(
        stream_version=version,
        kind=None,
        role=None,
        content=None,
        tool=None,
        call_id=None,
        arguments=None,
        reply=None,
        error=None,
    )


@pytest.fixture
def faultless() -> Callable[[Scenario], Evidence]:
    return lambda scenario: FaultlessSystem().play(scenario)
