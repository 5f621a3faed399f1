"""The pipelines' side of the demo: a scientist submits job graphs, parents first."""

import asyncio
from collections.abc import Sequence

from read_side.demo.client import CommandSender, command
from read_side.demo.pace import Pace
from read_side.demo.scenario import PIPELINE_KIND, Graph, GraphTask, JsonObject

PIPELINE_PRIORITY = 8
PIPELINES_BAR = "pipeline jobs"


async def submit_graphs(scientist: CommandSender, graphs: Sequence[Graph], pace: Pace) -> None:
    """Submit each graph whole, its jobs depending on each other."""
    for graph in graphs:
        await scientist.send_accepted(*(_submission(graph, task) for task in graph.tasks))
        await asyncio.sleep(pace.pipeline_pause_s)


def _submission(graph: Graph, task: GraphTask) -> JsonObject:
    """What the task executed is not in it."""
    return command(
        "SubmitJob",
        f"{task.id}-submit",
        job_id=task.id,
        kind=PIPELINE_KIND,
        requirements={"cpu_milli": task.cpu_milli, "memory_mib": task.memory_mib},
        payload={"name": task.name, "id": task.recorded_id},
        priority=PIPELINE_PRIORITY,
        depends_on=list(task.parents),
        labels={"workflow": graph.name},
    )
