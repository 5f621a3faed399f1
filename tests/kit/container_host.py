"""A machine with a container engine, for tests: podman with a store of its own, images from a registry of our own, and a node on it."""

import asyncio
import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foldwork import ContainerLimits, Containers, Node

HELLO = "Hello from a container!\n"
PROBE_S_MAX = 60.0
START_S_MAX = 30.0
STOP_S_MAX = 60.0
RUNTIMES = ("", "crun", "runc")
# Without the right to raise limits, an engine has to be told of some that it need not raise.
RUN = ("--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
REGISTRIES = """
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io"
location = "{address}"
insecure = true
"""


@dataclass(frozen=True, slots=True)
class ContainerHost:
    """`engine_arguments` are those with which podman can run containers here; `environment` leads it to the registry."""

    engine_arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def podman(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["podman", *self.engine_arguments, *arguments],
            input=stdin,
            capture_output=True,
            timeout=PROBE_S_MAX,
            check=False,
            env=dict(self.environment),
        )

    def names(self, *filters: str) -> list[str]:
        """Of the containers that there are, also of those that have ended."""
        asked = [f"--filter={each}" for each in filters]
        return self.podman("ps", "--all", "--format={{.Names}}", *asked).stdout.decode().split()

    def containers(self) -> Containers:
        return Containers(
            "podman",
            engine_arguments=self.engine_arguments,
            run_arguments=RUN,
            limits=ContainerLimits(stop_s=1),
        )


def missing() -> str | None:
    """Why there can be no host here, if that is already clear."""
    if shutil.which("podman") is None:
        return "containers need podman"
    if _busybox() is None:
        return "the images of the examples are made of busybox (busybox-static)"
    return None


@functools.cache
def _busybox() -> Path | None:
    found = shutil.which("busybox")
    return Path(found).resolve() if found else None


def busybox() -> Path:
    found = _busybox()
    assert found is not None
    return found


def prepare(folder: Path, address: str, environment: Mapping[str, str]) -> ContainerHost | str:
    """A host whose store is in a folder, or why podman cannot run any container here: it is tried once."""
    registries = folder / "registries.conf"
    registries.write_text(REGISTRIES.format(address=address))
    found = {**environment, "CONTAINERS_REGISTRIES_CONF": str(registries)}
    said = ""
    for runtime in RUNTIMES:
        own = ("--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        host = ContainerHost((*own, *(("--runtime", runtime) if runtime else ())), found)
        limits = ("--cpus=0.5", "--memory=64m")
        try:
            ran = host.podman("run", "--rm", "--interactive", *RUN, *limits, "alpine", "cat", stdin=b"hello")
        except subprocess.TimeoutExpired:
            return f"podman does not run a container here within {PROBE_S_MAX:g} s"
        if (ran.returncode, ran.stdout) == (0, b"hello"):
            return host
        said = ran.stderr.decode(errors="replace").strip()[-300:]
    return f"podman cannot run a container here: {said}"


@contextmanager
def serving(node: Node, drain: bool = True) -> Iterator[Node]:
    """A node in a loop and a thread of its own; without `drain` it is stopped as if it had been killed."""
    loop = asyncio.new_event_loop()
    work: list[asyncio.Task[None]] = []

    async def main() -> None:
        work.append(asyncio.create_task(node.serve()))
        await asyncio.gather(*work, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    try:
        _wait_for(node, thread)
        yield node
    finally:
        loop.call_soon_threadsafe(node.drain if drain else work[0].cancel)
        thread.join(STOP_S_MAX)
        assert not thread.is_alive()
        loop.close()


def _wait_for(node: Node, thread: threading.Thread) -> None:
    wait = threading.Event()
    for _ in range(int(START_S_MAX / 0.05)):
        if node.node_id or not thread.is_alive():
            break
        wait.wait(0.05)
    assert node.node_id, "the node did not begin"
