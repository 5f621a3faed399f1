"""A task as its handler sees it: what is to be done, and the ways to report while it is done.

Guarantee: a report is on record once its call returns. When the task is begun again by another worker, the reports that are the same
are not recorded again; those that differ are recorded beside the earlier ones.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from nats.aio.client import Client as Nats

from foldwork.answers import Refused
from foldwork.command_channel import CommandChannel
from foldwork.work_pull import token


class Task:
    """`input` is what the task was requested with; `attempt` counts from 1."""

    def __init__(self, offer: Mapping[str, Any], attempt: int, commands: CommandChannel, nats: Nats) -> None:
        self.id: str = offer["task_id"]
        self.tenant: str = offer["tenant_id"]
        self.agent_id: str = offer["agent_id"]
        self.title: str = offer["title"]
        self.input: Any = offer.get("input")
        self.capability: str | None = offer.get("capability")
        self.deadline_at: str | None = offer.get("deadline_at")
        self.attempt = attempt
        self.handed_over = False
        self._correlation_id: str | None = offer.get("correlation_id")
        self._traceparent: str | None = offer.get("traceparent")
        self._commands = commands
        self._nats = nats
        self._live = f"live.{token(self.tenant)}.task.{token(self.id)}"
        self._steps = 0
        self._tokens = 0
        self._in_order = asyncio.Lock()

    async def say(self, content: str, role: str = "assistant") -> None:
        """Report a message of the conversation; `role` is system, user, assistant or tool."""
        await self._report("RecordTaskStep", step={"kind": "message", "role": role, "content": content})

    async def tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        reply: str | None = None,
        error: str | None = None,
        call_id: str | None = None,
    ) -> None:
        """Report a call of a tool with what came back."""
        given = {"reply": reply, "error": error, "call_id": call_id}
        step = {"kind": "tool_call", "tool": name, "arguments": dict(arguments or {})}
        await self._report("RecordTaskStep", step=step | {key: text for key, text in given.items() if text is not None})

    async def usage(self, model: str, tokens_in: int, tokens_out: int) -> None:
        """Report the tokens that a model took."""
        await self._report("RecordTaskUsage", model=model, tokens_in=tokens_in, tokens_out=tokens_out)

    async def stream(self, text: str) -> None:
        """Show a piece of text to whoever watches at this moment; it is never stored, and lost if nobody does."""
        self._tokens += 1
        piece = {"task_id": self.id, "attempt": self.attempt, "number": self._tokens, "text": text}
        await self._nats.publish(self._live, orjson.dumps(piece))

    async def hand_over(self, reason: str, to: str = "human") -> None:
        """Pass the task on; it stays open, and what the handler returns or raises then does not matter."""
        await self.send("HandOverTask", f"{self.id}/hand-over", reason=reason, to=to)
        self.handed_over = True

    async def send(self, command: str, command_id: str | None = None, **fields: Any) -> None:
        """Send a command for this task. Raises Refused, for example if the task was cancelled meanwhile."""
        await self._commands.send(
            command,
            {"task_id": self.id, **fields},
            command_id=command_id,
            correlation_id=self._correlation_id,
            traceparent=self._traceparent,
        )

    async def _report(self, command: str, **fields: Any) -> None:
        async with self._in_order:
            self._steps += 1
            command_id = f"{self.id}/{self._steps}"
            try:
                await self.send(command, command_id, **fields)
            except Refused as refused:
                if refused.code != "command-id-reused":
                    raise
                # An earlier attempt reported something else as this step.
                await self.send(command, f"{command_id}/{uuid4().hex[:12]}", **fields)
