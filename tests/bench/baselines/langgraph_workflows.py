"""Five-step workflows with LangGraph: `python langgraph_workflows.py <database url> <in flight>` in an environment that has `langgraph`.

A StateGraph of five nodes in a row, with AsyncPostgresSaver on a pool of connections and durability="sync": what a node did is
persisted before the next one begins. Each run is a thread of its own.
"""

import asyncio
import sys
from typing import TypedDict
from uuid import uuid4

import uvloop
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from steady_load import measure, tell

POOL_SIZE = 20
STEPS = ("step_one", "step_two", "step_three", "step_four", "step_five")


class Counted(TypedDict):
    number: int


async def count(state: Counted) -> Counted:
    return {"number": state["number"] + 1}


async def main(database_url: str, in_flight: int) -> None:
    asked = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(database_url, min_size=POOL_SIZE, max_size=POOL_SIZE, kwargs=asked) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        graph = StateGraph(Counted)
        for name in STEPS:
            graph.add_node(name, count)
        for before, after in zip((START, *STEPS), (*STEPS, END), strict=True):
            graph.add_edge(before, after)
        compiled = graph.compile(checkpointer=saver)

        async def run_once() -> None:
            thread = {"configurable": {"thread_id": str(uuid4())}}
            found = await compiled.ainvoke({"number": 0}, thread, durability="sync")
            assert found["number"] == len(STEPS), found

        tell(await measure(run_once, in_flight))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
