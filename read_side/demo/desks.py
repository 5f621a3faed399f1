"""The agents that runs of workflows ask: each answers what it is given at its desk, the same each time."""

import asyncio
from collections.abc import Callable, Mapping

import orjson
from pydantic import BaseModel

from read_side.demo.client import CommandSender, UnexpectedAnswer, command
from read_side.demo.pace import Pace
from read_side.demo.queries import QueryClient, WireEvent
from read_side.demo.scenario import JsonObject

Desk = Callable[[JsonObject], JsonObject]
"""What an agent makes of a task's input. Raises CannotBeDone."""


class CannotBeDone(Exception):
    """An agent cannot do what it is asked; the text says why."""


class TaskAsked(BaseModel):
    """What an agent reads of a task that it is to do."""

    title: str
    input: JsonObject


class Desks:
    """Follow `task.assigned` and do what comes for these agents, by their ids; each task once."""

    def __init__(self, sender: CommandSender, queries: QueryClient, desks: Mapping[str, Desk], pace: Pace) -> None:
        self._sender = sender
        self._queries = queries
        self._desks = desks
        self._pace = pace

    async def work(self, after: int) -> None:
        """Do the tasks that are assigned after a position, for ever."""
        taken: set[str] = set()
        async with asyncio.TaskGroup() as at_work:
            async for event in self._queries.live("task.assigned", after):
                desk = self._desks.get(str(event.data.get("agent_id")))
                if desk is not None and event.entity_id not in taken:
                    taken.add(event.entity_id)
                    at_work.create_task(self._do(desk, event))

    async def _do(self, desk: Desk, assigned: WireEvent) -> None:
        task_id = assigned.entity_id
        asked = await self._asked(assigned)
        await self._sender.send_accepted(command("StartTask", f"{task_id}-start", task_id=task_id))
        await asyncio.sleep(self._pace.step_pause_s)
        step: JsonObject = {"kind": "tool_call", "tool": asked.title, "arguments": asked.input}
        try:
            result = desk(asked.input)
        except CannotBeDone as reason:
            step["error"] = str(reason)
            ending = command("FailTask", f"{task_id}-fail", task_id=task_id, error=str(reason))
        else:
            step["reply"] = orjson.dumps(result).decode()
            ending = command("CompleteTask", f"{task_id}-complete", task_id=task_id, result=result)
        record = command("RecordTaskStep", f"{task_id}-step", task_id=task_id, step=step)
        await self._sender.send_accepted(record, ending)

    async def _asked(self, assigned: WireEvent) -> TaskAsked:
        async for event in self._queries.events(0, assigned.subject):
            if event.type == "task.requested":
                return TaskAsked.model_validate(event.data)
        raise UnexpectedAnswer(f"{assigned.subject} was assigned before anybody asked for it")
