"""Plays a scenario against a running system, all parts at the same time."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from read_side.demo.agents import TASKS_BAR, AgentWorkers, create_agents, request_tasks
from read_side.demo.client import CommandSender
from read_side.demo.cluster import PODS_BAR, keep_alive, register_nodes, submit_pods
from read_side.demo.node_workers import NodeWorkers, recorded_attempts
from read_side.demo.pace import Pace
from read_side.demo.pipelines import PIPELINES_BAR, submit_graphs
from read_side.demo.progress import Bars
from read_side.demo.queries import QueryClient
from read_side.demo.scenario import AGENT_KIND_CAPABILITY, Scenario


@dataclass(frozen=True, slots=True)
class Target:
    """The system to drive."""

    command_url: str
    query_url: str
    tenant: str


async def play(scenario: Scenario, target: Target, pace: Pace, bars: Bars) -> bool:
    """Do all that the scenario holds; False if it took longer than `pace.work_s_max`."""
    bars.open(TASKS_BAR, len(scenario.runs))
    bars.open(PIPELINES_BAR, sum(len(graph.tasks) for graph in scenario.graphs))
    bars.open(PODS_BAR, len(scenario.pods))
    try:
        async with asyncio.timeout(pace.work_s_max):
            await _play(scenario, target, pace, bars)
    except TimeoutError:
        return False
    return True


async def _play(scenario: Scenario, target: Target, pace: Pace, bars: Bars) -> None:
    async with AsyncExitStack() as open_clients:

        async def sender(actor: str) -> CommandSender:
            return await open_clients.enter_async_context(CommandSender(target.command_url, target.tenant, actor))

        queries = await open_clients.enter_async_context(QueryClient(target.query_url, target.tenant))
        operator, users = await sender("operator"), await sender("users")
        agent_sender, node_sender = await sender("agent-worker"), await sender("node-worker")
        await create_agents(operator, scenario.agents)
        await register_nodes(scenario.nodes, operator)
        agents = AgentWorkers(agent_sender, queries, scenario.runs, pace, bars)
        nodes = NodeWorkers(node_sender, queries, recorded_attempts(scenario), pace, bars)
        await while_running(
            asyncio.gather(
                request_tasks(users, scenario.runs, AGENT_KIND_CAPABILITY),
                submit_graphs(users, scenario.graphs, pace),
                submit_pods(users, scenario.pods, pace, bars),
                agents.done.wait(),
                nodes.done.wait(),
            ),
            agents.work(operator.position),
            nodes.work((node.id for node in scenario.nodes), operator.position),
            keep_alive(scenario.nodes, operator),
        )


async def while_running(work: "asyncio.Future[Any]", *services: Coroutine[Any, Any, None]) -> None:
    """Wait for the work while the services run; what breaks down in a service is raised."""
    running = [asyncio.create_task(service) for service in services]
    try:
        done, _ = await asyncio.wait([work, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            _raise_first(task)
    finally:
        for task in (work, *running):
            task.cancel()
        await asyncio.gather(work, *running, return_exceptions=True)


def _raise_first(task: "asyncio.Future[Any]") -> None:
    """Raise what broke down, not the groups around it."""
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error
