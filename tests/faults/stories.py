"""Logs to run consumers on: invented from a seed, with ids and times of their own, so that two databases can hold the same one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from events.agent import AgentCapabilitiesUpdated, AgentCreated, AgentStarted, AgentUpdated
from events.catalog import CATALOG as EVENTS
from events.event import Event
from events.job import (
    JobAssigned,
    JobAttemptFailed,
    JobCompleted,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSubmitted,
    Requirements,
)
from events.node import GpuShare, NodeRegistered, NodeReleased, NodeReserved, NodeWentOnline
from events.task import (
    MessageStep,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOver,
    TaskRequested,
    TaskStarted,
    TaskStepRecorded,
    TaskUsageRecorded,
    ToolCallStep,
)
from infra.adapters.event_store import Append, NewEvent, Write
from infra.adapters.postgres_store import PostgresEventStore

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS = ("acme", "globex")
METADATA = b'{"actor":"user:alice","command_id":"c","correlation_id":"c","causation_id":"c"}'
APPEND_EVENTS = 200
NODES = 4
JOB_CPU_MILLI = 1_000

Life = tuple[str, Sequence[Event]]
"""A stream and what happens in it, in order."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a story."""

    tenant_id: str
    stream_id: str
    event: Event
    id: bytes


def interleaved(random: Random, lives: Sequence[tuple[str, Life]]) -> list[Told]:
    """The lives of all streams, given with their tenants, mixed: each in its own order."""
    left = [(tenant_id, stream_id, iter(events)) for tenant_id, (stream_id, events) in lives]
    story: list[Told] = []
    while left:
        at = random.randrange(len(left))
        tenant_id, stream_id, events = left[at]
        event = next(events, None)
        if event is None:
            left[at] = left[-1]
            left.pop()
        else:
            story.append(Told(tenant_id, stream_id, event, random.randbytes(16)))
    return story


def whole_story(seed: int, size: int) -> list[Told]:
    """Agents, tasks, nodes and jobs from their beginning to their end: every read model has something to do."""
    random = Random(seed)
    lives = [(tenant_id, life) for tenant_id in TENANTS for life in _whole_lives(random, size)]
    return interleaved(random, lives)


def _whole_lives(random: Random, size: int) -> Iterator[Life]:
    for number in range(max(2, size // 10)):
        yield f"agent-{number}", tuple(_agent(random, number))
        yield f"node-{number}", tuple(_node(random, number))
    for number in range(size):
        yield f"task-{number}", tuple(_task(random, number))
        yield f"job-{number}", tuple(_job(random, number))


def _agent(random: Random, number: int) -> Iterator[Event]:
    yield AgentCreated(name=f"Agent {number}", agent_type="autonomous", capabilities=("search",))
    yield AgentStarted()
    for turn in range(random.randint(1, 8)):
        yield AgentUpdated(name=f"Agent {number}, {turn}")
        yield AgentCapabilitiesUpdated(capabilities=("search", f"skill-{turn}"))


def _node(random: Random, number: int) -> Iterator[Event]:
    yield NodeRegistered(name=f"n{number}", cpu_milli=64_000, memory_mib=65_536, gpu_count=2, gpu_model="T4")
    yield NodeWentOnline()
    for turn in range(random.randint(2, 12)):
        share = GpuShare(index=turn % 2, milli=500)
        job_id = f"{number}-{turn}"
        yield NodeReserved(job_id=job_id, attempt=1, cpu_milli=1_000, memory_mib=512, gpus=(share,))
        yield NodeReleased(job_id=job_id, attempt=1)


def _task(random: Random, number: int) -> Iterator[Event]:
    yield TaskRequested(agent_id="1", title=f"Task {number}", input={"number": number})
    yield TaskAssigned(agent_id="1")
    yield TaskStarted(agent_id="1")
    for turn in range(random.randint(1, 6)):
        yield TaskStepRecorded(step=MessageStep(kind="message", role="user", content=f"Question {turn} \U0001f600"))
        call = ToolCallStep(kind="tool_call", tool="find", call_id=f"{turn}", arguments={"n": turn}, reply="found")
        yield TaskStepRecorded(step=call)
        yield TaskUsageRecorded(model="m", tokens_in=random.randint(1, 99), tokens_out=random.randint(1, 99))
    yield random.choice((TaskCompleted(result={"n": number}), TaskFailed(error="no"), TaskHandedOver(reason="hard")))


def _job(random: Random, number: int) -> Iterator[Event]:
    need = Requirements(cpu_milli=1_000, memory_mib=512)
    yield JobSubmitted(kind="train", requirements=need, priority=number % 10, retries=1)
    yield JobAssigned(node_id="1", attempt=1)
    yield JobStarted(node_id="1", attempt=1)
    if random.random() < 0.3:
        yield JobAttemptFailed(node_id="1", attempt=1, error="lost", retry_at=START + timedelta(hours=1))
        yield JobQueued(attempt=2)
        yield JobAssigned(node_id="1", attempt=2)
        yield JobStarted(node_id="1", attempt=2)
        yield JobCompleted(node_id="1", attempt=2, duration_ms=random.randint(1, 9_999))
    else:
        yield JobFailed(node_id="1", attempt=1, error="broken", duration_ms=7)


def unplaced_story(seed: int, size: int, *, jobs_to_come: int = 0) -> list[Told]:
    """Nodes, and jobs that nobody has placed; agents, and tasks with deadlines that nobody has.

    The nodes of a tenant have room for its jobs and for `jobs_to_come` more, and not for one beyond that.
    """
    random = Random(seed)
    lives = [(tenant_id, life) for tenant_id in TENANTS for life in _unplaced_lives(random, size, jobs_to_come)]
    return interleaved(random, lives)


def _unplaced_lives(random: Random, size: int, jobs_to_come: int) -> Iterator[Life]:
    for number in range(NODES):
        cpu_milli = JOB_CPU_MILLI * (size + jobs_to_come) // NODES
        yield f"node-{number}", (NodeRegistered(name=f"n{number}", cpu_milli=cpu_milli, memory_mib=0), NodeWentOnline())
        skills = ("search", f"skill-{number % 2}")
        agent = AgentCreated(name=f"Agent {number}", agent_type="reactive", capabilities=skills)
        yield f"agent-{number}", (agent, AgentStarted())
    for number in range(size):
        yield f"job-{number}", (_unplaced_job(random),)
        deadline_at = START + timedelta(seconds=number)
        task = TaskRequested(capability=f"skill-{number % 2}", title=f"Task {number}", deadline_at=deadline_at)
        yield f"task-{number}", (task,)


def _unplaced_job(random: Random) -> JobSubmitted:
    need = Requirements(cpu_milli=JOB_CPU_MILLI, memory_mib=0)
    return JobSubmitted(kind="train", requirements=need, priority=random.randint(0, 9), retries=2)


def more_jobs(seed: int, count: int) -> list[Told]:
    """The jobs to come, for each tenant."""
    random = Random(seed)
    lives = [
        (tenant_id, (f"job-more-{number}", (_unplaced_job(random),)))
        for tenant_id in TENANTS
        for number in range(count)
    ]
    return interleaved(random, lives)


async def write_down(
    store: PostgresEventStore, story: Sequence[Told], versions: dict[tuple[str, str], int] | None = None
) -> int:
    """Append a story as it is told; gives the head after it. `versions` are those of its streams before and after."""
    versions = {} if versions is None else versions
    position = 0
    for first in range(0, len(story), APPEND_EVENTS):
        futures = []
        for told in story[first : first + APPEND_EVENTS]:
            key = told.tenant_id, told.stream_id
            event = NewEvent(told.event.type, told.event.version, EVENTS.encode(told.event), told.id)
            write = Write(told.stream_id, versions.get(key, 0), [event])
            versions[key] = write.expected + 1
            futures.append(store.submit(Append(told.tenant_id, [write], START, METADATA)))
        for future in futures:
            position = (await future).position
    return position
