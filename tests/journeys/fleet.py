"""A tenant with one machine, and jobs for it: what tests of node workers share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from foldwork import Client, Job, JobError, Node
from infra.cancellation import end
from tests.faults.system import BreakableSystem

WAIT_S_MAX = 30.0
ENDED = {"completed", "failed", "cancelled"}

_numbers = count(1)


class Fleet:
    """A tenant of its own with one machine, `box`."""

    def __init__(self, system: BreakableSystem) -> None:
        self.tenant = f"fleet-{next(_numbers)}"
        self.urls = {"commands": system.url("write_side"), "queries": system.url("read_side")}
        self.client = Client(**self.urls, tenant=self.tenant, give_up_after_s=WAIT_S_MAX)

    def node(
        self,
        name: str = "box",
        heartbeat_s: float = 0.5,
        every_kind: bool = False,
        **handlers: Callable[[Job], Awaitable[Any]],
    ) -> Node:
        node = Node(
            name,
            cpu_milli=2_000,
            memory_mib=1_000,
            gpu_count=2,
            labels={"zone": "a"},
            tenant=self.tenant,
            heartbeat_s=heartbeat_s,
            every_kind=every_kind,
            **self.urls,
        )
        for kind, handler in handlers.items():
            node.job(kind)(handler)
        return node

    async def submit(self, kind: str, **fields: Any) -> str:
        needs = {"cpu_milli": 500, "memory_mib": 100, **fields.pop("requirements", {})}
        answer = await self.client.send("SubmitJob", {"kind": kind, "requirements": needs, **fields})
        return answer.stream_id.removeprefix("job-")

    async def job(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until a job has one of the statuses."""
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                found: dict[str, Any] = await self.client.query(f"/v1/jobs/{job_id}")
                if found["status"] in (statuses or ENDED):
                    return found
                await asyncio.sleep(0.05)

    async def nodes(self, told_by: Node) -> dict[str, str]:
        """Their statuses, once all that this one has said of itself is seen."""
        found = await self.client.query("/v1/nodes", min_position=told_by._client.position)
        return {row["node_id"]: row["status"] for row in found["data"]}


@asynccontextmanager
async def serving(node: Node) -> AsyncIterator["asyncio.Task[None]"]:
    """It is killed in the end if it still serves then."""
    work = asyncio.create_task(node.serve())
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            while not node.node_id and not work.done():
                await asyncio.sleep(0.01)
        yield work
    finally:
        await end(work)


async def double(job: Job) -> dict[str, Any]:
    return {"twice": 2 * job.payload["n"], "gpus": [[gpu.index, gpu.milli] for gpu in job.gpus]}


async def fail(job: Job) -> None:
    raise JobError("there is nothing to be done")


class Sleeper:
    """Does jobs for ever, or until `done` is set, and remembers of each attempt how it went."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.stopped: list[tuple[str, int]] = []
        self.done = asyncio.Event()

    async def do(self, job: Job) -> str:
        self.began.append((job.id, job.attempt))
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.stopped.append((job.id, job.attempt))
            raise
        return "woken"


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not ready():
            await asyncio.sleep(0.02)
