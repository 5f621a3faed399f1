"""What the query API says once the work is over, with the log up to the same position."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from pydantic import BaseModel, JsonValue

from read_side.demo.log_audit import LogAudit
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import JsonObject

TIMELINES_AT_ONCE = 8
SETTLE_S_MAX = 20.0
SETTLE_POLL_S = 0.25
QUIET_ROUNDS_MAX = 10
SUMMARIES = ("agents", "tasks", "nodes", "jobs")


class AgentSeen(BaseModel):
    agent_id: str
    status: str
    version: int


class TaskSeen(BaseModel):
    task_id: str
    status: str
    agent_id: str | None
    messages: int
    tool_calls: int
    tool_replies: int
    tool_errors: int
    result: JsonValue
    version: int


class StepSeen(BaseModel):
    """A row of a task's timeline."""

    stream_version: int
    kind: str | None
    role: str | None
    content: str | None
    tool: str | None
    call_id: str | None
    arguments: JsonObject | None
    reply: str | None
    error: str | None


class JobSeen(BaseModel):
    job_id: str
    kind: str
    status: str
    attempt: int
    depends_on: tuple[str, ...]
    duration_ms: int | None
    gpu_milli_ms: int
    version: int
    started_position: int | None
    ended_position: int | None


class NodeSeen(BaseModel):
    node_id: str
    status: str
    over_capacity: bool
    reservations: dict[str, JsonValue]
    version: int


class ProjectionSeen(BaseModel):
    name: str
    position: int


class _ProjectionsSeen(BaseModel):
    data: list[ProjectionSeen]


class SummarySeen(BaseModel):
    by_status: dict[str, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All rows of all read models; `timelines` by task, `summaries` by the name of the list."""

    log: LogAudit
    agents: list[AgentSeen]
    tasks: list[TaskSeen]
    timelines: dict[str, list[StepSeen]]
    jobs: list[JobSeen]
    nodes: list[NodeSeen]
    summaries: dict[str, SummarySeen]
    projections: list[ProjectionSeen]


async def gather_evidence(queries: QueryClient) -> Evidence:
    """Wait until what was reserved is released, then read everything; again if the log moved on meanwhile."""
    await _released(queries)
    log = LogAudit()
    await _read_on(queries, log)
    for _ in range(QUIET_ROUNDS_MAX):
        head = log.head
        evidence = await _read_models(queries, log)
        await _read_on(queries, log)
        if log.head == head:
            break
    return evidence


async def _released(queries: QueryClient) -> None:
    until = monotonic() + SETTLE_S_MAX
    while monotonic() < until:
        nodes = await queries.rows("/v1/nodes", NodeSeen)
        if not any(node.reservations for node in nodes):
            return
        await asyncio.sleep(SETTLE_POLL_S)


async def _caught_up(queries: QueryClient, head: int) -> list[ProjectionSeen]:
    """A read model that is not concerned by the last events notes a little later that it has seen them."""
    until = monotonic() + SETTLE_S_MAX
    while True:
        found = (await queries.one("/v1/projections", _ProjectionsSeen)).data
        if min((each.position for each in found), default=0) >= head or monotonic() > until:
            return found
        await asyncio.sleep(SETTLE_POLL_S)


async def _read_on(queries: QueryClient, log: LogAudit) -> None:
    async for event in queries.events(log.head):
        log.see(event)


async def _read_models(queries: QueryClient, log: LogAudit) -> Evidence:
    tasks = await queries.rows("/v1/tasks", TaskSeen, log.head)
    at_once = asyncio.Semaphore(TIMELINES_AT_ONCE)

    async def timeline(task_id: str) -> tuple[str, list[StepSeen]]:
        async with at_once:
            return task_id, await queries.rows(f"/v1/tasks/{task_id}/timeline", StepSeen, log.head)

    return Evidence(
        log=log,
        agents=await queries.rows("/v1/agents", AgentSeen, log.head),
        tasks=tasks,
        timelines=dict(await asyncio.gather(*(timeline(task.task_id) for task in tasks))),
        jobs=await queries.rows("/v1/jobs", JobSeen, log.head),
        nodes=await queries.rows("/v1/nodes", NodeSeen, log.head),
        summaries={name: await queries.one(f"/v1/summaries/{name}", SummarySeen, log.head) for name in SUMMARIES},
        projections=await _caught_up(queries, log.head),
    )
