"""`just bench`: every figure beside its baseline, measured in one run on one Postgres. Never part of the tests."""

import argparse
import asyncio
import tempfile
from pathlib import Path

import orjson
import uvloop

from infra.embedded.servers import EmbeddedServers
from infra.engines.process import collect_garbage_less_often
from infra.telemetry import configure_logging
from tests.bench.figures import Figure, show
from tests.bench.in_process import in_process_figures
from tests.bench.machine import machine_figure
from tests.bench.pipeline import pipeline_figures
from tests.bench.system import system_figures
from tests.bench.workers import worker_figures
from tests.bench.workflows import workflow_figures


async def measure(only: str | None) -> list[Figure]:
    figures = [await machine_figure("before")]
    with tempfile.TemporaryDirectory(prefix="foldwork-bench-") as folder:
        servers = EmbeddedServers(Path(folder) / "servers")
        async with servers:
            if only in (None, "in-process"):
                figures += await in_process_figures(servers.database_url)
            if only in (None, "pipeline"):
                figures += await pipeline_figures(servers.database_url, servers.nats_url)
            if only in (None, "workflows"):
                figures += await workflow_figures(servers.database_url, servers.nats_url)
        servers.erase()
    if only in (None, "system"):
        figures += await asyncio.to_thread(lambda: uvloop.run(system_figures()))
    if only in (None, "workers"):
        figures += await asyncio.to_thread(lambda: uvloop.run(worker_figures()))
    return [*figures, await machine_figure("after")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    parser.add_argument("--output", choices=("table", "json"), default="table", help="json: also written to bench.json")
    parser.add_argument(
        "--only", choices=("in-process", "pipeline", "workflows", "system", "workers"), help="measure one part"
    )
    arguments = parser.parse_args()
    configure_logging("bench", "WARNING", text=True)
    # As every process of Foldwork does.
    collect_garbage_less_often()
    figures = uvloop.run(measure(arguments.only))
    if arguments.output == "json":
        document = orjson.dumps([figure.as_json() for figure in figures], option=orjson.OPT_INDENT_2)
        Path("bench.json").write_bytes(document)
        print(document.decode())
    else:
        show(figures)


if __name__ == "__main__":
    main()
