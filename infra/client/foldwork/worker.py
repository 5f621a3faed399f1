"""A worker: does the tasks of one agent, which it registers and starts.

Guarantee: a task is acknowledged to the queue after its end is on record; one whose worker dies is begun again by another worker of
the same agent after `ack_wait_s`. Whatever a handler raises fails its task, and nothing else.
"""

import asyncio
import hashlib
import inspect
import itertools
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import orjson
from nats.errors import Error as NatsError

from foldwork.answers import Refused
from foldwork.command_channel import CommandChannel
from foldwork.connection import Connection
from foldwork.ending import end, ended, is_stopped
from foldwork.task import Task
from foldwork.threads import in_thread
from foldwork.work_pull import Delivery, WorkPull

log = logging.getLogger("foldwork")

Handler = Callable[[Task], Awaitable[Any] | Any]
ERROR_CHARACTERS_MAX = 4_000
RECONNECT_S = 0.25
REGISTERED_S = 10.0
"""So long it usually takes at most to register an agent."""
STOP_S_MAX = 10.0
_ACK, _NAK, _IN_PROGRESS, _TERM = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
_NAK_FOR_LATER = b'-NAK {"delay": 10000000000}'
"""What breaks something inside Foldwork each time is offered again after so many nanoseconds."""
_OVER = frozenset({"task-already-ended", "task-already-handed-over", "command-id-reused", "task-unknown"})


class Worker:
    """Several workers of one agent, in one process or many, share its tasks.

    `concurrency` tasks are done at once; a task whose workers died `deliveries_max` times is failed. `shard` is the tenant's. Other
    arguments go to `nats.connect`.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        tenant: str = "default",
        capabilities: Sequence[str] = (),
        agent_type: str = "reactive",
        concurrency: int = 100,
        ack_wait_s: float = 30.0,
        deliveries_max: int = 5,
        shard: int = 0,
        **connection: Any,
    ) -> None:
        self.agent = agent
        self.tenant = tenant
        self.agent_id = ""
        self._url = url
        self._capabilities = list(capabilities)
        self._agent_type = agent_type
        self._concurrency = concurrency
        self._ack_wait_s = ack_wait_s
        self._deliveries_max = deliveries_max
        self._shard = shard
        self._connection = connection
        self._handler: Handler | None = None
        self._replies: dict[str, str] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._nats: Connection
        self._commands: CommandChannel
        self._pull: WorkPull

    def task(self, handler: Handler) -> Handler:
        """The function that does a task; what it returns is the task's result. One that is not async runs in a
        thread of its own, cannot report, and ends with the process where it does not end before."""
        self._handler = handler
        return handler

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; tasks that are being done may end within STOP_S_MAX, and at a second signal are given back at once.

        What there is to say goes to stderr, unless logging is configured already.
        """
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
            logging.getLogger("httpx").setLevel(logging.WARNING)

        async def main() -> None:
            serving = asyncio.create_task(self.serve())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
            try:
                with suppress(asyncio.CancelledError):
                    await serving
            finally:
                await end(*asyncio.all_tasks() - {asyncio.current_task()})

        asyncio.run(main())

    async def serve(self) -> None:
        """Work until cancelled. Raises Refused if the agent cannot be registered."""
        if self._handler is None:
            raise TypeError("A worker needs a handler: decorate a function with @worker.task.")

        def returned() -> None:
            if self.agent_id:
                self._pull.disturb()

        options = {"reconnect_time_wait": RECONNECT_S, "name": f"worker {self.agent}", **self._connection}
        self._nats = Connection(self._url)
        self._commands = CommandChannel(self._nats, self.tenant, f"agent:{_actor(self.agent)}")
        try:
            await self._nats.open(on_return=returned, **options)
            silence = asyncio.get_running_loop().call_later(REGISTERED_S, self._wonder)
            try:
                agent_id = await self._register()
            finally:
                silence.cancel()
            self._pull = WorkPull(
                self._nats,
                self.tenant,
                agent_id,
                shard=self._shard,
                ack_wait_s=self._ack_wait_s,
                room=lambda: self._concurrency - len(self._replies),
                take=self._take,
            )
            self.agent_id = agent_id
            log.info("worker of agent %s is ready", agent_id)
            beating = asyncio.create_task(self._beat())
            try:
                await ended(self._pull.run())
            finally:
                try:
                    await self._finish_all()
                finally:
                    beating.cancel()
        finally:
            await self._commands.close()
            await self._nats.close()

    def _wonder(self) -> None:
        log.warning("no Foldwork answers at %s; is it up, and is this its NATS?", self._nats.place)

    async def _register(self) -> str:
        """The id of the agent of this name, which is created if there is none, started and given the capabilities."""
        for number in itertools.count(1):
            named = f"{self.tenant}/{self.agent.strip().casefold()}/{number}"
            agent_id = f"worker-{hashlib.sha256(named.encode()).hexdigest()[:32]}"
            fields = {"name": self.agent, "agent_type": self._agent_type, "capabilities": self._capabilities}
            refused = await self._ask("CreateAgent", {"agent_id": agent_id, **fields}, "agent-already-exists")
            if refused is not None and refused.code == "agent-name-taken":
                agent_id = refused.problem["agent_id"]
            elif refused is not None:
                raise refused
            refused = await self._ask("StartAgent", {"agent_id": agent_id}, "agent-already-started")
            if refused is not None and refused.code == "agent-already-deleted":
                continue
            if refused is not None:
                raise refused
            if self._capabilities:
                capabilities = {"agent_id": agent_id, "capabilities": self._capabilities}
                refused = await self._ask("UpdateAgentCapabilities", capabilities, "agent-unchanged")
                if refused is not None:
                    raise refused
            return agent_id
        raise AssertionError("unreachable")

    async def _ask(self, command: str, fields: dict[str, Any], so_already: str) -> Refused | None:
        """Why a command was refused, None if it was carried out or everything was so already."""
        try:
            await self._commands.send(command, fields)
        except Refused as refused:
            return None if refused.code == so_already else refused
        return None

    def _take(self, delivery: Delivery) -> None:
        try:
            offer = orjson.loads(delivery.payload)
            task = Task(offer, delivery.attempt, self._commands, self._nats)
        except (ValueError, KeyError, TypeError):
            log.error("an offer of %d bytes cannot be read", len(delivery.payload))
            self._spawn(self._tell(delivery.reply, _TERM))
            return
        again = task.id in self._replies
        self._replies[task.id] = delivery.reply
        if not again:  # else it is being done here: the queue only has forgotten, and is told in the end
            self._spawn(self._do(task))

    def _spawn(self, work: Any) -> None:
        doing = asyncio.create_task(work)
        self._doing.add(doing)
        doing.add_done_callback(self._doing.discard)

    async def _do(self, task: Task) -> None:
        verdict = _NAK
        try:
            await self._carry_out(task)
            verdict = _ACK
        except Refused as refused:
            verdict = _ACK if refused.code in _OVER else _TERM if refused.status < 500 else _NAK_FOR_LATER
            if verdict != _ACK:
                log.error("task %s cannot be ended: %s", task.id, refused)
        except Exception:
            log.exception("task %s is given back", task.id)
        finally:
            await self._tell(self._replies.pop(task.id), verdict)
        self._pull.ask()

    async def _carry_out(self, task: Task) -> None:
        end = f"{task.id}/end"
        if task.attempt > self._deliveries_max:
            await task.send("FailTask", end, error=f"its workers ended {self._deliveries_max} times without a result")
            return
        try:
            await task.send("StartTask")
        except Refused as refused:
            if refused.code != "task-already-started":
                raise
        try:
            result = await self._handle(task)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if isinstance(error, asyncio.CancelledError) and is_stopped():
                raise
            await self._fail(task, error)
            return
        try:
            if not task.handed_over:
                await task.send("CompleteTask", end, result=result)
        except Refused as refused:
            if refused.code in _OVER:
                raise
            await self._fail(task, refused)
        except Exception as unfit:
            await self._fail(task, unfit)

    async def _fail(self, task: Task, error: BaseException) -> None:
        """Unless somebody else has it by now."""
        log.warning("task %s failed: %s", task.id, type(error).__name__)
        if not task.handed_over:
            await task.send("FailTask", f"{task.id}/end", error=_text(error))

    async def _handle(self, task: Task) -> Any:
        assert self._handler is not None
        if inspect.iscoroutinefunction(self._handler):
            return await self._handler(task)
        result = await in_thread(self._handler, task)
        return await result if inspect.isawaitable(result) else result

    async def _beat(self) -> None:
        """Tell the queue three times within `ack_wait_s` which tasks are still being done."""
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            for reply in list(self._replies.values()):
                await self._tell(reply, _IN_PROGRESS)

    async def _tell(self, reply: str, verdict: bytes) -> None:
        """A verdict that is lost is made good by the next delivery."""
        with suppress(NatsError, OSError):
            await self._nats.publish(reply, verdict)

    async def _finish_all(self) -> None:
        """Let tasks end, for a bounded time; what does not is given back to the queue at once."""
        try:
            if self._doing:
                await asyncio.wait(self._doing, timeout=STOP_S_MAX)
        finally:
            await end(*self._doing, again_s=STOP_S_MAX)


def _actor(name: str) -> str:
    """A name as it may stand in a header."""
    return "".join(character if "!" <= character <= "~" else "_" for character in name)[:190]


def _text(error: BaseException) -> str:
    text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
    return text.replace("\x00", "").encode(errors="replace").decode()[:ERROR_CHARACTERS_MAX]
