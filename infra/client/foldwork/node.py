"""A node worker: registers a machine as a node, and does the jobs that are assigned to it.

Guarantee: a job that is assigned to the node is begun, whatever became of the worker or the connection meanwhile, and again if the worker
was restarted before it ended; a job that was cancelled, or queued again elsewhere, is stopped here. One worker for each name: two of one
name would both do its jobs.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from foldwork.answers import Refused, Unavailable
from foldwork.client import Client
from foldwork.ending import end, is_stopped
from foldwork.event_tail import subscribe
from foldwork.job import FunctionHandler, Gpu, Job, JobHandler, text_of
from foldwork.node_registration import Capacity, leave, pages, register

log = logging.getLogger("foldwork")

PAUSE_S = 1.0
DRAIN_POLL_S = 0.25
CANCEL_AGAIN_S = 10.0
ACTOR_CHARACTERS_MAX = 190
_ASSIGNED, _LOST = "job.assigned", ("job.cancelled", "job.requeued")
_OVER = frozenset({"stale-attempt", "job-not-assigned", "job-already-ended", "job-unknown", "command-id-reused"})


class Node:
    """A machine with this capacity, of which GPUs are of one model. `commands` and `queries` are as for Client.

    It is given jobs of the kinds that handlers were added for, and no others. With `every_kind` it is given jobs of any kind, and fails
    those that it has no handler for.

    When it is to stop it takes no further jobs, waits `drain_s_max` for those that it has, and stops what is left: those jobs are queued
    again once the node has been silent for a while.
    """

    def __init__(
        self,
        name: str,
        *,
        cpu_milli: int,
        memory_mib: int,
        gpu_count: int = 0,
        gpu_model: str | None = None,
        labels: Mapping[str, str] | None = None,
        commands: str = "http://127.0.0.1:8000",
        queries: str = "http://127.0.0.1:8001",
        tenant: str = "default",
        heartbeat_s: float = 5.0,
        drain_s_max: float = 60.0,
        every_kind: bool = False,
    ) -> None:
        self.name = name
        self.tenant = tenant
        self.node_id = ""
        self.capacity = Capacity(cpu_milli, memory_mib, gpu_count, gpu_model, dict(labels or {}))
        self._commands = commands
        self._queries = queries
        self._heartbeat_s = heartbeat_s
        self._drain_s_max = drain_s_max
        self._every_kind = every_kind
        self._handlers: dict[str, JobHandler] = {}
        self._doing: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._draining = asyncio.Event()
        self._followed = 0
        self._client: Client

    def add(self, kind: str, handler: JobHandler) -> None:
        """Have the jobs of a kind done, `node.add("container", Containers())`; before the node works, since it says then what it does."""
        self._handlers[kind] = handler

    def job(self, kind: str) -> Callable[[Callable[[Job], Awaitable[Any]]], Callable[[Job], Awaitable[Any]]]:
        """The async function that does the jobs of a kind; what it returns is the job's result, what it raises fails the attempt."""

        def added(function: Callable[[Job], Awaitable[Any]]) -> Callable[[Job], Awaitable[Any]]:
            self.add(kind, FunctionHandler(function))
            return function

        return added

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then drain; at a second signal stop at once."""

        async def main() -> None:
            serving = asyncio.create_task(self.serve())

            def stop() -> None:
                if self._draining.is_set():
                    serving.cancel()
                self.drain()

            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop)
            with suppress(asyncio.CancelledError):
                await serving

        asyncio.run(main())

    def drain(self) -> None:
        """Have `serve` end: no further jobs, and some time for those that are being done."""
        self._draining.set()

    async def serve(self) -> None:
        """Work until `drain`, or until cancelled: then what is being done is stopped, and begun again by the node when it is back.

        Raises ValueError if there is nothing that it could do, Refused if the node cannot be registered or was retired, Unavailable if
        Foldwork does not answer at the start.
        """
        if not self._handlers:
            raise ValueError(f"the node {self.name} has no handler for any kind of job")
        async with AsyncExitStack() as stack:
            actor = "".join(each if "!" <= each <= "~" else "_" for each in self.name)[:ACTOR_CHARACTERS_MAX]
            client = Client(self._commands, self._queries, tenant=self.tenant, actor=f"node:{actor}")
            self._client = await stack.enter_async_context(client)
            for handler in {id(handler): handler for handler in self._handlers.values()}.values():
                stack.push_async_callback(handler.close)
                await handler.open(self.tenant, self.name)
            self.node_id = await register(
                client, self.name, self.capacity, None if self._every_kind else self._handlers
            )
            log.info("node %s is online", self.node_id)
            drained = asyncio.create_task(self._drained())
            work = [asyncio.create_task(self._beat()), asyncio.create_task(self._follow(client.position))]
            work += [drained, asyncio.create_task(self._find_again())]
            try:
                await _until(drained, work)
            finally:
                await end(*work, *self._doing.values(), again_s=CANCEL_AGAIN_S)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            try:
                await self._client.send("HeartbeatNode", {"node_id": self.node_id})
            except Unavailable:
                log.warning("node %s is not heard", self.node_id)
            except Refused:
                # Retired: by itself, or by an operator who no longer wants it.
                if not self._draining.is_set():
                    raise

    async def _drained(self) -> None:
        await self._draining.wait()
        log.info("node %s takes no further jobs", self.node_id)
        until = time.monotonic() + self._drain_s_max
        while not await self._has_left() and time.monotonic() < until:
            await asyncio.sleep(DRAIN_POLL_S)
            while self._doing and time.monotonic() < until:
                await asyncio.sleep(DRAIN_POLL_S)

    async def _has_left(self) -> bool:
        """Whether there is nothing to wait for: where nobody hears that it leaves, only what it still does."""
        try:
            return await leave(self._client, self.node_id)
        except Unavailable:
            return not self._doing

    async def _follow(self, after: int) -> None:
        """Take what is assigned to this node after a position, and stop what it has lost, for ever."""
        types = [_ASSIGNED, *_LOST]
        async for event in subscribe(self._queries, tenant=self.tenant, after=after, types=types):
            if event.data.get("node_id") != self.node_id:
                continue
            self._followed = event.position
            key = (event.subject.removeprefix("job-"), int(event.data["attempt"]))
            if event.type == _ASSIGNED:
                self._take(key, event.position, _gpus(event.data))
            elif key in self._doing:
                log.info("job %s, attempt %d, is no longer wanted here", *key)
                self._doing[key].cancel()

    async def _find_again(self) -> None:
        """Take what the node had before it was restarted."""
        position = self._client.position
        node = await self._answered(lambda: self._client.query(f"/v1/nodes/{self.node_id}"))
        held = node["reservations"]
        rows = await self._answered(self._jobs)
        for row in rows:
            reservation = held.get(f"{row['job_id']}/{row['attempt']}", {})
            self._take((row["job_id"], row["attempt"]), position, _gpus(reservation))

    async def _jobs(self) -> list[dict[str, Any]]:
        found = []
        for status in ("assigned", "running"):
            found += [row async for row in pages(self._client, "/v1/jobs", node_id=self.node_id, status=status)]
        return found

    def _take(self, key: tuple[str, int], position: int, gpus: tuple[Gpu, ...]) -> None:
        if key in self._doing:
            return
        doing = asyncio.create_task(self._do(*key, position, gpus))
        self._doing[key] = doing

        def ended(doing: "asyncio.Task[None]") -> None:
            self._doing.pop(key, None)
            if not doing.cancelled() and doing.exception() is not None:
                log.error("job %s, attempt %d, cannot be done", *key, exc_info=doing.exception())

        doing.add_done_callback(ended)

    async def _do(self, job_id: str, attempt: int, position: int, gpus: tuple[Gpu, ...]) -> None:
        # Where it was done by this worker already, or is no longer wanted here, that is in the row by then.
        seen = max(position, self._client.position, self._followed)
        row = await self._answered(lambda: self._client.query(f"/v1/jobs/{job_id}", min_position=seen))
        if (row["node_id"], row["attempt"]) != (self.node_id, attempt) or row["status"] not in ("assigned", "running"):
            return
        job = Job.of(row, gpus)
        try:
            await self._report(job, "StartJob", "start")
        except Refused as refused:
            if refused.code != "job-already-started":
                _note(job, refused)
                return
        since = time.monotonic()
        end, fields = await self._done(job)
        fields["duration_ms"] = round(1_000 * (time.monotonic() - since))
        try:
            await self._report(job, end, "end", **fields)
        except (Refused, TypeError) as unfit:
            if isinstance(unfit, Refused) and (end == "FailJob" or unfit.code in _OVER):
                _note(job, unfit)
            else:  # The result is nothing that can be kept, or that JSON could hold.
                error = str(unfit) if isinstance(unfit, Refused) else text_of(unfit)
                with suppress(Refused):
                    await self._report(job, "FailJob", "refused", error=error, duration_ms=fields["duration_ms"])

    async def _done(self, job: Job) -> tuple[str, dict[str, Any]]:
        """How it ended, as a command and its fields."""
        handler = self._handlers.get(job.kind)
        if handler is None:
            return "FailJob", {"error": f"The node {self.name} does no jobs of the kind {job.kind}."}
        try:
            return "CompleteJob", {"result": await handler.do(job)}
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if is_stopped():
                # Whatever it says to that: it has not failed, and is done again elsewhere.
                raise asyncio.CancelledError from error
            # What is raised without anybody having stopped the job: something that the handler waited for was cancelled.
            log.warning("job %s, attempt %d, failed: %s", job.id, job.attempt, type(error).__name__)
            return "FailJob", {"error": text_of(error)}

    async def _report(self, job: Job, command: str, what: str, **fields: Any) -> None:
        """Raises Refused."""
        given = {"job_id": job.id, "attempt": job.attempt, **fields}
        command_id = f"{job.id}/{job.attempt}/{what}"
        await self._answered(lambda: self._client.send(command, given, command_id=command_id))

    async def _answered(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until there is an answer: what has begun here ends here, however long nobody hears of it. Raises Refused."""
        while True:
            try:
                return await ask()
            except Unavailable as unavailable:
                log.warning("node %s waits: %s", self.node_id, unavailable)
                await asyncio.sleep(PAUSE_S)


async def _until(last: "asyncio.Task[None]", work: list["asyncio.Task[None]"]) -> None:
    """Until this one is done; what another one raises meanwhile is raised here."""
    going = {*work}
    while last in going:
        done, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()


def _gpus(found: Mapping[str, Any]) -> tuple[Gpu, ...]:
    return tuple(Gpu(share["index"], share["milli"]) for share in found.get("gpus") or ())


def _note(job: Job, refused: Refused) -> None:
    log.info("job %s, attempt %d, is not ours any more: %s", job.id, job.attempt, refused.code)
