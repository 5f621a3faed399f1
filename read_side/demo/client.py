"""Talks to the command API: gathers what is due while earlier requests are under way, and repeats until it is answered.

Guarantee: a command is sent again under the same id until the API has answered it; the commands of one `send` take effect in
their order.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import httpx
import orjson
from pydantic import BaseModel, TypeAdapter

from infra.errors import Fault
from read_side.demo.scenario import JsonObject

BATCH_COMMANDS_MAX = 400
REQUESTS_IN_FLIGHT_MAX = 2
REQUEST_S_MAX = 30.0
RETRY_S_MIN = 0.05
RETRY_S_MAX = 1.0
TRY_AGAIN = frozenset({429, 502, 503, 504})


class UnexpectedAnswer(Fault):
    """The API answered what it must not answer to the demo."""


class Answer(BaseModel):
    """What became of a command: `position` of its last event, or the problem."""

    status: int
    position: int = 0
    type: str = ""
    title: str = ""
    detail: str | None = None

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def problem(self) -> str:
        """The name of the problem, for example `stale-attempt`."""
        return self.type.rpartition("/")[2]


class _Answers(BaseModel):
    results: tuple[Answer, ...]


_ANSWERS = TypeAdapter(_Answers)


@dataclass(slots=True, eq=False)
class _Group:
    """Commands that belong together; `answers` are those that are final."""

    commands: Sequence[JsonObject]
    done: "asyncio.Future[list[Answer]]"
    answers: list[Answer] = field(default_factory=list)

    def settle(self, found: Sequence[Answer]) -> None:
        """Take the answers up to the first that has to be asked for again; what comes after it is sent again too."""
        for answer in found:
            if answer.status in TRY_AGAIN:
                return
            self.answers.append(answer)
        if not self.done.done():
            self.done.set_result(self.answers)

    @property
    def open(self) -> Sequence[JsonObject]:
        return self.commands[len(self.answers) :]


def command(name: str, command_id: str, /, **fields: object) -> JsonObject:
    """A command as `POST /v1/commands` takes it; fields that are None are left out."""
    given = {key: value for key, value in fields.items() if value is not None}
    return {"command": name, "command_id": command_id, **given}  # type: ignore[dict-item]  # checked by the API


class CommandSender:
    """Sends as one actor. Use it as a context; what breaks down in it is raised by every waiting `send`."""

    def __init__(
        self, command_url: str, tenant: str, actor: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=command_url,
            timeout=REQUEST_S_MAX,
            headers={"Foldwork-Tenant": tenant, "Foldwork-Actor": actor, "Content-Type": "application/json"},
            trust_env=False,
            transport=transport,
        )
        self._waiting: deque[_Group] = deque()
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.position = 0

    async def send(self, *commands: JsonObject) -> list[Answer]:
        """One answer for each command, in order."""
        if not commands:
            return []
        group = _Group(commands, asyncio.get_running_loop().create_future())
        self._waiting.append(group)
        self._due.set()
        return await group.done

    async def send_accepted(self, *commands: JsonObject) -> list[Answer]:
        """The same, for commands that must be accepted; raises UnexpectedAnswer."""
        answers = await self.send(*commands)
        for given, answer in zip(commands, answers, strict=True):
            if not answer.ok:
                raise UnexpectedAnswer(f"{given['command']} {given['command_id']}: {answer.status} {answer.detail}")
        return answers

    async def __aenter__(self) -> "CommandSender":
        self._tasks = [asyncio.create_task(self._deliver_all()) for _ in range(REQUESTS_IN_FLIGHT_MAX)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def _deliver_all(self) -> None:
        while True:
            while not self._waiting:
                self._due.clear()
                await self._due.wait()
            groups = self._next_groups()
            try:
                await self._deliver(groups)
            except Exception as fault:
                for group in groups:
                    if not group.done.done():
                        group.done.set_exception(fault)

    def _next_groups(self) -> list[_Group]:
        """Whole groups up to the bound, at least one."""
        groups = [self._waiting.popleft()]
        count = len(groups[0].commands)
        while self._waiting and count + len(self._waiting[0].commands) <= BATCH_COMMANDS_MAX:
            groups.append(self._waiting.popleft())
            count += len(groups[-1].commands)
        return groups

    async def _deliver(self, groups: list[_Group]) -> None:
        wait_s = RETRY_S_MIN
        while True:
            await self._post(groups)
            groups = [group for group in groups if group.open]
            if not groups:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    async def _post(self, groups: list[_Group]) -> None:
        body = orjson.dumps([command for group in groups for command in group.open])
        try:
            reply = await self._http.post("/v1/commands", content=body)
        except httpx.TransportError:
            return
        if reply.status_code in TRY_AGAIN:
            return
        if reply.status_code != httpx.codes.OK:
            raise UnexpectedAnswer(f"POST /v1/commands: {reply.status_code} {reply.text[:500]}")
        found = _ANSWERS.validate_json(reply.content).results
        self.position = max(self.position, *(answer.position for answer in found), 0)
        for group in groups:
            count = len(group.open)
            group.settle(found[:count])
            found = found[count:]
