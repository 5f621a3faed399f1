"""Five-step workflows with DBOS: `python dbos_workflows.py <database url> <in flight>` in an environment that has `dbos`.

As its documentation has it for asynchronous programs: a coroutine as workflow and five coroutines as steps, called and awaited as they are,
so that the workflow runs in the caller's event loop and its end is checkpointed when the call returns. Handles (`start_workflow_async`) and
threads, for workflows that are not coroutines, cost as much processor time or more.
"""

import asyncio
import sys

import uvloop
from dbos import DBOS, DBOSConfig
from steady_load import measure, tell

POOL_SIZE = 20


@DBOS.step()
async def step_one(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.step()
async def step_two(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.step()
async def step_three(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.step()
async def step_four(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.step()
async def step_five(number: int) -> dict[str, int]:
    return {"number": number + 1}


@DBOS.workflow()
async def five_steps(number: int) -> dict[str, int]:
    found = {"number": number}
    for step in (step_one, step_two, step_three, step_four, step_five):
        found = await step(found["number"])
    return found


async def run_once() -> None:
    found = await five_steps(0)
    assert found == {"number": 5}, found


async def main(database_url: str, in_flight: int) -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": database_url,
        "sys_db_pool_size": POOL_SIZE,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    tell(await measure(run_once, in_flight))
    DBOS.destroy()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
