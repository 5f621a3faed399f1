"""What a faultless system would say of the demo's workflows: they run in memory, with the demo's own agents."""

from typing import Any
from urllib.parse import quote

from pydantic import JsonValue, TypeAdapter

from events.run_parts import AgentTaskAwaited, ApprovalAwaited, Awaited
from projections.run_directory import RunRow
from projections.run_tasks import RunTaskRow
from read_side.demo.content import CONTENT_AGENTS, CONTENT_DESKS
from read_side.demo.desks import CannotBeDone
from read_side.demo.evidence import TaskSeen
from read_side.demo.log_audit import LogAudit
from read_side.demo.people import ApprovalSeen, DecisionSeen
from read_side.demo.queries import WireEvent
from read_side.demo.scenario import Agent
from read_side.demo.trips import APPROVER, TRAVEL_AGENTS, Bookings
from read_side.demo.workflow_evidence import RunSeen, WorkflowsSeen
from read_side.demo.workflows import WORKFLOWS, definition
from tests.read_side.cli.local_api import LocalApi
from tests.write_side.running import Failed, Running

RUNTIME = "https://open-workflow-specification.org/spec/1.0.0/errors/runtime"
AGENTS: tuple[Agent, ...] = (*TRAVEL_AGENTS, *CONTENT_AGENTS)


class WorkflowWorld:
    """Runs everything at once; then `seen` is what the query API would say, and `bookings` what the agents have in their books."""

    def __init__(self) -> None:
        self.bookings = Bookings()
        self._desks = {**self.bookings.desks, **CONTENT_DESKS}
        self._tasks: list[TaskSeen] = []
        self._approvals: list[ApprovalSeen] = []
        self._api = LocalApi()
        for workflow in WORKFLOWS:
            document: Any = definition(workflow.file)
            for run_id, given in workflow.runs.items():
                running = Running(document, self._answer, run_id).start(given)
                assert running.workflow_id == workflow.workflow_id
                self._api.happen(run_id, *running.events)
        self.seen = self._seen()

    def _answer(self, awaited: Awaited, running: Running) -> JsonValue:
        if isinstance(awaited, ApprovalAwaited):
            decision = DecisionSeen(actor=APPROVER, decision="approve")
            approval = ApprovalSeen(approval_id=awaited.approval_id, status="approved", decisions=[decision])
            self._approvals.append(approval)
            assert awaited.request["people"] == [APPROVER]
            return {"approved": True, "decisions": []}
        assert isinstance(awaited, AgentTaskAwaited)
        assert isinstance(awaited.input, dict)
        able = [agent for agent in AGENTS if awaited.agent_id == agent.id or awaited.capability == agent.capability]
        (agent,) = able
        try:
            result = self._desks[agent.id](awaited.input)
        except CannotBeDone as reason:
            self._end_task(awaited, "failed")
            failed = Failed(RUNTIME, 500, "Runtime Error")
            failed.error = failed.error.model_copy(update={"detail": str(reason)})
            raise failed from None
        self._end_task(awaited, "completed")
        return result

    def _end_task(self, awaited: AgentTaskAwaited, status: str) -> None:
        counts = dict.fromkeys(("messages", "tool_calls", "tool_replies", "tool_errors", "version"), 1)
        task = {"task_id": awaited.task_id, "status": status, "agent_id": awaited.agent_id, "result": None, **counts}
        self._tasks.append(TaskSeen.model_validate(task))

    def _seen(self) -> WorkflowsSeen:
        log = LogAudit()
        events = [WireEvent.model_validate(event) for event in self._api.events]
        for event in events:
            log.see(event)
        for task in self._tasks:
            log.see(_assigned(log.head + 1, task.task_id))
        runs = {
            run_id: RunSeen(
                RunRow.model_validate_json(self._ask(f"/v1/runs/{run_id}")),
                self._tasks_of(run_id),
                [event for event in events if event.subject == f"run-{run_id}"],
            )
            for workflow in WORKFLOWS
            for run_id in workflow.runs
        }
        return WorkflowsSeen(log, runs, self._tasks, self._approvals)

    def _tasks_of(self, run_id: str) -> list[RunTaskRow]:
        page = TypeAdapter(dict[str, Any]).validate_json(self._ask(f"/v1/runs/{run_id}/tasks"))
        return [RunTaskRow.model_validate(row) for row in page["data"]]

    def _ask(self, path: str) -> bytes:
        status, _, body = self._api.answered("GET", f"{quote(path)}?limit=1000", {}, b"")
        assert status == 200
        return body


def _assigned(position: int, task_id: str) -> WireEvent:
    return WireEvent(
        position=position, type="task.assigned", subject=f"task-{task_id}", streamversion=1, data={"agent_id": "x"}
    )
