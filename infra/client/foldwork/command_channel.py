"""Sends commands over NATS: those that wait while others are under way go together in one request.

Guarantee: a command is sent again under the same id until it is answered. Commands that are sent one after another, each after the answer
to the one before it, take effect in that order.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError

from foldwork.answers import CONTENDED, Answer, Refused, Unavailable, too_large
from foldwork.ending import end

REQUESTS_IN_FLIGHT_MAX = 2
REQUEST_COMMANDS_MAX = 500
REQUEST_BYTES_MAX = 524_288
ANSWER_S_MAX = 10.0
HEADER_BYTES_MAX = 4_096
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 2.0
BREAKDOWNS_MAX = 5
"""How often a command is repeated that breaks something inside Foldwork (status 500) each time."""


@dataclass(slots=True)
class _Sending:
    body: bytes
    answer: "asyncio.Future[Answer]"
    breakdowns: int = field(default=0)


class CommandChannel:
    """The commands of one tenant and actor on a connection that the caller has. Format: infra/client/README.md."""

    def __init__(self, nats: Nats, tenant: str, actor: str) -> None:
        self._nats = nats
        self._subject = f"cmd.{tenant}.ExecuteCommands"
        self._headers = {"Foldwork-Actor": actor}
        self._waiting: deque[_Sending] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(
        self,
        command: str,
        fields: Mapping[str, Any],
        *,
        command_id: str | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Send a command until it is answered. Raises Refused, and TypeError for fields that JSON cannot hold."""
        document: dict[str, Any] = {**fields, "command": command, "command_id": command_id or uuid4().hex}
        if correlation_id is not None:
            document["correlation_id"] = correlation_id
        if traceparent is not None:
            document["traceparent"] = traceparent
        sending = _Sending(orjson.dumps(document), asyncio.get_running_loop().create_future())
        bytes_max = self._nats.max_payload - HEADER_BYTES_MAX
        if len(sending.body) > bytes_max:
            raise too_large(bytes_max)
        self._waiting.append(sending)
        self._flush()
        return await sending.answer

    async def close(self) -> None:
        """Give up what is under way."""
        await end(*self._under_way)

    def _flush(self) -> None:
        while self._waiting and len(self._under_way) < REQUESTS_IN_FLIGHT_MAX:
            batch = [self._waiting.popleft()]
            size = len(batch[0].body)
            while self._waiting and len(batch) < REQUEST_COMMANDS_MAX:
                size += len(self._waiting[0].body)
                if size > REQUEST_BYTES_MAX:
                    break
                batch.append(self._waiting.popleft())
            task = asyncio.create_task(self._carry(batch))
            self._under_way.add(task)
            task.add_done_callback(self._carried)

    def _carried(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._flush()

    async def _carry(self, batch: Sequence[_Sending]) -> None:
        pause_s = PAUSE_S_MIN
        while batch:
            try:
                results = await self._request(batch)
            except Refused as refused:
                if len(batch) > 1:
                    # Whose fault it is shows when each goes alone: the others must not suffer for it.
                    for sending in batch:
                        await self._carry([sending])
                elif not batch[0].answer.done():
                    batch[0].answer.set_exception(refused)
                return
            except Unavailable:
                results = [{"status": 503}] * len(batch)
            again = [each for each, result in zip(batch, results, strict=True) if not _settle(each, result)]
            batch = [sending for sending in again if not sending.answer.done()]
            if batch:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _request(self, batch: Sequence[_Sending]) -> list[dict[str, Any]]:
        payload = b"[" + b",".join(sending.body for sending in batch) + b"]"
        try:
            reply = await self._nats.request(self._subject, payload, timeout=ANSWER_S_MAX, headers=self._headers)
        except (NatsError, OSError) as away:
            raise Unavailable from away
        document = orjson.loads(reply.data)
        status = int((reply.headers or {}).get("Foldwork-Status", 503))
        if status >= 500:
            raise Unavailable
        if status != 200:
            raise Refused(document)
        results: list[dict[str, Any]] = document["results"]
        return results


def _settle(sending: _Sending, result: Mapping[str, Any]) -> bool:
    """Whether a result is an answer, which is then given."""
    status = result["status"]
    sending.breakdowns += status == 500
    if status > 500 or (status == 500 and sending.breakdowns < BREAKDOWNS_MAX):
        return False
    if status == 409 and Refused(result).code in CONTENDED:
        return False
    if not sending.answer.done():
        if status < 300:
            sending.answer.set_result(Answer.of(result))
        else:
            sending.answer.set_exception(Refused(result))
    return True
