"""The agents' side of the demo: a customer asks for tasks, agent workers take them and record every step."""

import asyncio
from collections.abc import Sequence

from read_side.demo.client import CommandSender, command
from read_side.demo.pace import Pace
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import Agent, JsonObject, Message, Run, Step

TASKS_BAR = "agent tasks"
TASKS_PER_REQUEST = 50


async def create_agents(operator: CommandSender, agents: Sequence[Agent]) -> None:
    """Register the agents and let them take tasks."""
    for agent in agents:
        config = {"prompts": {"system": agent.prompt}, "tools": agent.tools}
        await operator.send_accepted(
            command(
                "CreateAgent",
                f"{agent.id}-create",
                agent_id=agent.id,
                name=agent.name,
                agent_type="conversational",
                capabilities=[agent.capability],
                config=config,
            ),
            command("StartAgent", f"{agent.id}-start", agent_id=agent.id),
        )


async def request_tasks(customer: CommandSender, runs: Sequence[Run], capability: str) -> None:
    """Ask for every run as a task, from its agent or, where it names none, from any with the capability."""
    for first in range(0, len(runs), TASKS_PER_REQUEST):
        await customer.send_accepted(
            *(
                command(
                    "RequestTask",
                    f"{run.id}-request",
                    task_id=run.id,
                    agent_id=run.agent_id,
                    capability=None if run.agent_id else capability,
                    title=run.title,
                    input=run.input,
                )
                for run in runs[first : first + TASKS_PER_REQUEST]
            )
        )


class AgentWorkers:
    """Follow `task.assigned` and play the recorded conversation of each task that comes."""

    def __init__(
        self, sender: CommandSender, queries: QueryClient, runs: Sequence[Run], pace: Pace, bars: Bars
    ) -> None:
        self._sender = sender
        self._queries = queries
        self._runs = {run.id: run for run in runs}
        self._pace = pace
        self._bars = bars
        self._left = set(self._runs)
        self.done = asyncio.Event()
        if not self._left:
            self.done.set()

    async def work(self, after: int) -> None:
        """Take the tasks that are assigned after a position, for ever."""
        taken: set[str] = set()
        async with asyncio.TaskGroup() as at_work:
            async for event in self._queries.live("task.assigned", after):
                run = self._runs.get(event.entity_id)
                if run is not None and run.id not in taken:
                    taken.add(run.id)
                    at_work.create_task(self._play(run))

    async def _play(self, run: Run) -> None:
        """One step after the other: the next is recorded once the last one is."""
        await self._sender.send_accepted(command("StartTask", f"{run.id}-start", task_id=run.id))
        for number, step in enumerate(run.steps):
            record = command("RecordTaskStep", f"{run.id}-step-{number}", task_id=run.id, step=_step_fields(step))
            await self._sender.send_accepted(record)
            await asyncio.sleep(self._pace.step_pause_s)
        await self._sender.send_accepted(_ending(run))
        self._bars.advance(TASKS_BAR)
        self._left.discard(run.id)
        if not self._left:
            self.done.set()


def _step_fields(step: Step) -> JsonObject:
    if isinstance(step, Message):
        return {"kind": "message", "role": step.role, "content": step.content}
    return {
        "kind": "tool_call",
        "tool": step.tool,
        "call_id": step.call_id,
        "arguments": step.arguments,
        "reply": step.reply,
        "error": step.error,
    }


def _ending(run: Run) -> JsonObject:
    match run.ending:
        case "handed_over":
            return command("HandOverTask", f"{run.id}-hand-over", task_id=run.id, reason=run.reason)
        case "completed":
            return command("CompleteTask", f"{run.id}-complete", task_id=run.id, result={"reward": run.reward})
        case "failed":
            return command("FailTask", f"{run.id}-fail", task_id=run.id, error=run.reason)
