"""Totals over the read models: `/v1/summaries/{agents,tasks,nodes,jobs,runs}`."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from infra.adapters.web import Route
from infra.adapters.web_docs import Operation, problems, reference
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import QueryReader
from infra.adapters.web_request import Answer, Request
from infra.patterns.projection import Projection
from projections.agent_directory import AGENT_DIRECTORY
from projections.job_board import JOB_BOARD
from projections.node_board import NODE_BOARD
from projections.run_directory import RUN_DIRECTORY
from projections.task_board import TASK_BOARD
from read_side.queries import QUERY_PARAMETERS, Queries, answer, found


class Spread(BaseModel):
    """How a measure is spread, in the unit of its column; without values all are None but `count`."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    max: float | None


class AgentSummary(BaseModel):
    """Agents by status and by type."""

    by_status: dict[str, int]
    by_type: dict[str, int]


class TaskSummary(BaseModel):
    """Tasks by status, and what was recorded in them."""

    by_status: dict[str, int]
    messages: int
    tool_calls: int
    tool_replies: int
    tool_errors: int
    tokens_in: int
    tokens_out: int


class NodeSummary(BaseModel):
    """Nodes by status, and their capacity, reserved and in all."""

    by_status: dict[str, int]
    cpu_milli: int
    cpu_milli_reserved: int
    memory_mib: int
    memory_mib_reserved: int
    gpu_count: int
    gpu_milli_reserved: int


class JobSummary(BaseModel):
    """Jobs by status, the queue's depth by priority, how long jobs waited for their start, and GPU time used (GPU/1000 * ms)."""

    by_status: dict[str, int]
    queued_by_priority: dict[str, int]
    wait_ms: Spread
    gpu_milli_ms: int


class RunSummary(BaseModel):
    """Runs by status, and how many of their tasks began and ended."""

    by_status: dict[str, int]
    tasks_started: int
    tasks_completed: int
    tasks_faulted: int


SUMMARIES: tuple[type[BaseModel], ...] = (AgentSummary, TaskSummary, NodeSummary, JobSummary, RunSummary)

Summarise = Callable[[str], Awaitable[BaseModel]]


class Summaries:
    """The routes of all summaries."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._store = queries.models
        self._nothing = QueryReader(())

    def routes(self) -> list[Route]:
        return [
            self._route("agents", AGENT_DIRECTORY, AgentSummary, self._agents),
            self._route("tasks", TASK_BOARD, TaskSummary, self._tasks),
            self._route("nodes", NODE_BOARD, NodeSummary, self._nodes),
            self._route("jobs", JOB_BOARD, JobSummary, self._jobs),
            self._route("runs", RUN_DIRECTORY, RunSummary, self._runs),
        ]

    def _route(self, plural: str, model: Projection[Any], kind: type[BaseModel], summarise: Summarise) -> Route:
        async def endpoint(request: Request) -> Answer:
            self._nothing.read(request.query)
            tenant_id = tenant_of(request)
            summary, seen = await self._queries.read([model.name], request, lambda: summarise(tenant_id))
            return answer(summary.model_dump_json().encode(), seen)

        replies = found("The totals now.", reference(kind.__name__)) | problems(400, 409, 422, 500, 503, 504)
        operation = Operation(f"summarise_{plural}", plural, f"Totals of {plural}", replies, QUERY_PARAMETERS)
        return Route("GET", f"/v1/summaries/{plural}", endpoint, operation)

    async def _counts(self, model: Projection[Any], tenant_id: str, column: str) -> dict[str, int]:
        rows = await self._store.count_by(model, tenant_id, (column,))
        return {str(row[column]): row["count"] for row in rows}

    async def _totals(self, model: Projection[Any], tenant_id: str, *columns: str) -> dict[str, int]:
        rows = await self._store.count_by(model, tenant_id, (), columns)
        return {column: rows[0][column] if rows else 0 for column in columns}

    async def _agents(self, tenant_id: str) -> AgentSummary:
        by_status = await self._counts(AGENT_DIRECTORY, tenant_id, "status")
        return AgentSummary(by_status=by_status, by_type=await self._counts(AGENT_DIRECTORY, tenant_id, "agent_type"))

    async def _tasks(self, tenant_id: str) -> TaskSummary:
        columns = ("messages", "tool_calls", "tool_replies", "tool_errors", "tokens_in", "tokens_out")
        totals = await self._totals(TASK_BOARD, tenant_id, *columns)
        return TaskSummary(by_status=await self._counts(TASK_BOARD, tenant_id, "status"), **totals)

    async def _nodes(self, tenant_id: str) -> NodeSummary:
        columns = (
            "cpu_milli",
            "cpu_milli_reserved",
            "memory_mib",
            "memory_mib_reserved",
            "gpu_count",
            "gpu_milli_reserved",
        )
        totals = await self._totals(NODE_BOARD, tenant_id, *columns)
        return NodeSummary(by_status=await self._counts(NODE_BOARD, tenant_id, "status"), **totals)

    async def _runs(self, tenant_id: str) -> RunSummary:
        totals = await self._totals(RUN_DIRECTORY, tenant_id, "tasks_started", "tasks_completed", "tasks_faulted")
        return RunSummary(by_status=await self._counts(RUN_DIRECTORY, tenant_id, "status"), **totals)

    async def _jobs(self, tenant_id: str) -> JobSummary:
        counted = await self._store.count_by(JOB_BOARD, tenant_id, ("status", "priority"), ("gpu_milli_ms",))
        by_status: dict[str, int] = {}
        queued: dict[str, int] = {}
        for row in counted:
            by_status[row["status"]] = by_status.get(row["status"], 0) + row["count"]
            if row["status"] == "queued":
                queued[str(row["priority"])] = row["count"]
        spread = await self._store.spread_of(JOB_BOARD, tenant_id, "wait_ms")
        return JobSummary(
            by_status=by_status,
            queued_by_priority=queued,
            wait_ms=Spread.model_validate(spread),
            gpu_milli_ms=sum(row["gpu_milli_ms"] for row in counted),
        )
