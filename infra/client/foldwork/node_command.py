"""The program `foldwork node`, or `foldwork-node` where only the client is installed: a machine that runs containers as jobs."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from foldwork.answers import Refused, Unavailable
from foldwork.container_engine import EngineMissing
from foldwork.container_options import ContainerLimits
from foldwork.containers import Containers
from foldwork.job import JobError
from foldwork.node import Node


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="foldwork node", description="Be a node: run containers, and no other kind of job."
    )
    add = found.add_argument
    add("--name", required=True, help="by which the node is found again")
    add("--cpu", type=int, required=True, metavar="MILLI", help="thousandths of a processor that jobs may have")
    add("--memory", type=int, required=True, metavar="MIB", help="memory that jobs may have")
    add("--gpus", type=int, default=0, help="how many GPUs jobs may have")
    add("--gpu-model", help="what the GPUs are")
    add("--label", action="append", default=[], metavar="NAME=VALUE", help="said of the node; may be repeated")
    add(
        "--commands",
        type=_commands_url,
        default=_here("COMMAND", 8000),
        metavar="URL",
        help="the command API (%(default)s)",
    )
    add("--queries", type=_queries_url, default=_here("QUERY", 8001), metavar="URL", help="the query API (%(default)s)")
    add("--tenant", default="default", help="whose jobs (%(default)s)")
    add("--drain-s", type=float, default=60.0, help="how long to wait for jobs when it is to stop (%(default)s)")
    add("--engine", help="podman or docker; by default whichever is in PATH")
    add("--engine-argument", action="append", default=[], metavar="=ARGUMENT", help="before each command of the engine")
    add("--run-argument", action="append", default=[], metavar="=ARGUMENT", help="an option of each container")
    add("--volume-allowed", action="append", default=[], metavar="FOLDER", help="a folder that containers may see")
    add("--ports-address", default="127.0.0.1", help="where ports of containers are published (%(default)s)")
    add("--run-s-max", type=float, default=3_600.0, help="how long a container may run (%(default)s)")
    add("--no-limits", action="store_true", help="hold no container to what its job says it needs")
    return found


def _here(side: str, port: int) -> str:
    """Where a `foldwork up` of this machine listens, on the ports that it takes from the same environment."""
    return f"http://127.0.0.1:{os.environ.get(f'FOLDWORK_{side}_PORT') or port}"


def _commands_url(text: str) -> str:
    return _url(text, "http", "https", "nats", "tls", "ws", "wss")


def _queries_url(text: str) -> str:
    return _url(text, "http", "https")


def _url(text: str, *schemes: str) -> str:
    for each in text.split(","):
        try:
            parts = urlsplit(each)
            is_one = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_one = False
        if not is_one:
            raise argparse.ArgumentTypeError(
                f"a URL is like http://127.0.0.1:8000, with a port of 1 to 65535, not {text}"
            )
    return text


def node_of(arguments: argparse.Namespace) -> Node:
    """Raises ValueError for a label without a value."""
    labels = dict(_label(text) for text in arguments.label)
    node = Node(
        arguments.name,
        cpu_milli=arguments.cpu,
        memory_mib=arguments.memory,
        gpu_count=arguments.gpus,
        gpu_model=arguments.gpu_model,
        labels=labels,
        commands=arguments.commands,
        queries=arguments.queries,
        tenant=arguments.tenant,
        drain_s_max=arguments.drain_s,
    )
    limits = ContainerLimits(
        volumes_allowed=tuple(arguments.volume_allowed),
        ports_address=arguments.ports_address,
        capacity_enforced=not arguments.no_limits,
        run_s_max=arguments.run_s_max,
    )
    containers = Containers(
        arguments.engine,
        engine_arguments=arguments.engine_argument,
        run_arguments=arguments.run_argument,
        limits=limits,
    )
    node.add("container", containers)
    return node


def main(given: Sequence[str] | None = None) -> None:
    """Work until SIGTERM or SIGINT. Ends the program where it cannot work, with why."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    arguments = parser().parse_args(given)
    try:
        node = node_of(arguments)
    except ValueError as wrong:
        parser().error(str(wrong))
    try:
        node.run()
    except (EngineMissing, JobError, Refused, Unavailable) as problem:
        sys.exit(f"{problem}")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"a label is NAME=VALUE, not {text}")
    return name, value
