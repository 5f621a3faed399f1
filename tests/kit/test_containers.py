"""The examples with containers on the running system: a node of the fleet runs them with podman, from images that it pulls."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from foldwork import Node
from infra.supervisor import Supervisor
from tests.kit.container_host import HELLO, RUN, ContainerHost, busybox, missing, prepare, serving
from tests.kit.example import Plays
from tests.kit.image_registry import Image, ImageRegistry
from tests.kit.playing import begin, compare
from tests.kit.system import POLL_S, Run, Workflows

pytestmark = [pytest.mark.data, pytest.mark.servers, pytest.mark.timeout(180)]

IMAGES = {
    "hello-world": Image(["echo", HELLO.strip()]),
    "alpine": Image(["/bin/sh"]),
    "echoing": Image(["by", "default"], entrypoint=["echo", "said:"]),
}
NAMED = {"workflow": {"document": {"name": "w"}, "id": "7"}, "task": {"name": "t"}}
WAIT_S_MAX = 30.0
FOREVER = "while true; do sleep 0.2; done"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def registry() -> Iterator[ImageRegistry]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with ImageRegistry(busybox(), IMAGES) as found:
        yield found


@pytest.fixture(scope="module")
def host(registry: ImageRegistry) -> Iterator[ContainerHost]:
    # Paths of sockets are below it, and may not be long.
    with tempfile.TemporaryDirectory(prefix="foldwork-", ignore_cleanup_errors=True) as folder:
        found = prepare(Path(folder), registry.address, os.environ)
        if isinstance(found, str):
            pytest.skip(found)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CONTAINERS_REGISTRIES_CONF", found.environment["CONTAINERS_REGISTRIES_CONF"])
            yield found
        # The engine counts what it has beside the store: it has to be told that this is gone.
        found.podman("rm", "--all", "--force", "--time=0")
        found.podman("volume", "rm", "--all", "--force")


@dataclass(frozen=True, slots=True)
class Fleet:
    """One node, of the tenant that the test's workflows belong to."""

    host: ContainerHost
    workflows: Workflows
    command_url: str
    query_url: str

    def node(self) -> Node:
        node = Node(
            "kit",
            cpu_milli=4_000,
            memory_mib=8_192,
            commands=self.command_url,
            queries=self.query_url,
            tenant=self.workflows.tenant_id,
            drain_s_max=10.0,
        )
        node.add("container", self.host.containers())
        return node

    def names(self, status: str = "") -> list[str]:
        """Of this tenant's containers."""
        more = [f"status={status}"] if status else []
        return self.host.names(f"label=dev.foldwork.tenant={self.workflows.tenant_id}", *more)

    def ids(self, *filters: str) -> list[str]:
        mine = f"--filter=label=dev.foldwork.tenant={self.workflows.tenant_id}"
        asked = [f"--filter={each}" for each in filters]
        return self.host.podman("ps", "--all", "--quiet", "--no-trunc", mine, *asked).stdout.decode().split()

    def online(self) -> list[str]:
        return [node["node_id"] for node in self.workflows.ask("/v1/nodes", status="online")["data"]]

    @contextmanager
    def program(self) -> Iterator[subprocess.Popen[bytes]]:
        """The same node, as `foldwork node` runs it."""
        given = {
            "name": "kit",
            "cpu": "4000",
            "memory": "8192",
            "commands": self.command_url,
            "queries": self.query_url,
            "tenant": self.workflows.tenant_id,
            "engine": "podman",
        }
        more = [f"--engine-argument={each}" for each in self.host.engine_arguments]
        more += [f"--run-argument={each}" for each in RUN]
        options = [f"--{name}={value}" for name, value in given.items()]
        program = Path(sys.executable).parent / "foldwork"
        with subprocess.Popen([program, "node", *options, *more], env=dict(self.host.environment)) as running:
            try:
                yield running
            finally:
                running.kill()

    def until(self, ready: Callable[[], Any], what: str) -> None:
        until = time.monotonic() + WAIT_S_MAX
        while not ready():
            assert time.monotonic() < until, what
            time.sleep(POLL_S)


@pytest.fixture
def fleet(host: ContainerHost, system: Supervisor, workflows: Workflows) -> Fleet:
    return Fleet(host, workflows, system.url("write_side"), system.url("read_side"))


@pytest.fixture
def at_work(fleet: Fleet) -> Iterator[Fleet]:
    with serving(fleet.node()):
        yield fleet


def start(workflows: Workflows, container: dict[str, Any], given: Any = None, **more: Any) -> Run:
    """A run of one task, with `more` beside its container or, as `metadata`, beside what it runs."""
    document = {"dsl": "1.0.3", "namespace": "containers", "name": f"n{next(NUMBERS)}", "version": "1.0.0"}
    task = {"metadata": more.pop("metadata", {}), "run": {"container": container, **more}}
    workflows.register({"document": document, "do": [{"box": task}]})
    return workflows.start(document, given)


EXAMPLES = {
    "run-container": Plays(output=HELLO),
    "run-container-cleanup-always": Plays(output=HELLO),
    "run-container-cleanup-eventually": Plays(output=HELLO),
    "run-container-stdin-and-arguments": Plays(output="STDIN was: Hello World\nARGS are Foo Bar\n"),
    "run-container-with-name": Plays(NAMED, output=HELLO),
    "run-container-with-pull-policy": Plays(output=HELLO),
    "run-return-all": Plays(output={"code": 0, "stdout": HELLO, "stderr": ""}),
    "run-return-code": Plays(output=0),
    "run-return-none": Plays(output=None),
    "run-return-stderr": Plays(output=""),
}
REMOVED = {"run-container-cleanup-always"}


class TestAnExampleWithAContainer:
    @pytest.mark.parametrize("name", sorted(EXAMPLES))
    def test_runs_its_container_to_its_end(self, at_work: Fleet, registry: ImageRegistry, name: str) -> None:
        asked = len(registry.asked)
        said = EXAMPLES[name]
        compare(begin(at_work.workflows, name, said.given), said, list)
        left = at_work.names("exited")
        assert len(left) == (name not in REMOVED)
        if name == "run-container-with-name":
            assert left == ["hello-w-t-7"]
        if name == "run-container-with-pull-policy":
            assert registry.asked[asked:][:1] == ["hello-world"]


class TestAContainerOnANode:
    def test_is_given_its_environment_and_fails_its_task_with_its_exit_code(self, at_work: Fleet) -> None:
        container = {
            "image": "alpine",
            "command": "echo $TOKEN >&2; exit 3",
            "environment": {"TOKEN": "${ .token }"},
            "lifetime": {"cleanup": "always"},
        }
        found = start(at_work.workflows, container, {"token": "not-to-be-told"}).ended()
        assert found["status"] == "faulted"
        assert found["error"]["detail"] == "The container ended with the exit code 3: ***"
        other = {**container, "command": "echo $TOKEN; exit 3"}
        found = start(at_work.workflows, other, {"token": "here"}, **{"return": "all"}).ended()
        assert found["output"] == {"code": 3, "stdout": "here\n", "stderr": ""}
        assert at_work.names() == []

    def test_follows_its_default_command_with_its_arguments(self, at_work: Fleet) -> None:
        for image, output in (("hello-world", f"{HELLO.strip()} again\n"), ("echoing", "said: again\n")):
            container = {"image": image, "arguments": ["again"], "lifetime": {"cleanup": "always"}}
            assert start(at_work.workflows, container).ended()["output"] == output

    def test_is_not_pulled_when_it_must_not_be(self, at_work: Fleet) -> None:
        found = start(at_work.workflows, {"image": "unheard-of", "pullPolicy": "never"}).ended()
        assert found["status"] == "faulted"
        assert found["error"]["detail"].startswith("The container could not be made: ")

    def test_is_stopped_and_removed_when_its_run_is_cancelled(self, at_work: Fleet) -> None:
        run = start(at_work.workflows, {"image": "alpine", "command": FOREVER})
        at_work.until(lambda: at_work.names("running"), "the container does not run")
        run.cancel()
        assert run.ended()["status"] == "cancelled"
        at_work.until(lambda: not at_work.names(), "the container is still there")
        [job] = at_work.workflows.ask("/v1/jobs")["data"]
        assert job["status"] == "cancelled"

    def test_is_removed_after_some_time(self, at_work: Fleet) -> None:
        lifetime = {"cleanup": "eventually", "after": {"seconds": 2}}
        found = start(at_work.workflows, {"image": "hello-world", "lifetime": lifetime}).ended()
        assert found["output"] == HELLO
        at_work.until(lambda: not at_work.names(), "the container is still there")

    def test_has_no_more_than_its_task_requires(self, at_work: Fleet) -> None:
        needed = {"requirements": {"cpu_milli": 250, "memory_mib": 32}}
        run = start(at_work.workflows, {"image": "alpine", "command": FOREVER}, metadata=needed)
        at_work.until(lambda: at_work.names("running"), "the container does not run")
        [name] = at_work.names()
        template = "--format={{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}"
        assert at_work.host.podman("inspect", template, name).stdout.decode().split() == ["33554432", "250000000"]
        run.cancel()
        run.ended()


class TestANodeThatIsStartedAgain:
    def test_removes_what_it_left_running_and_begins_its_jobs_anew(self, fleet: Fleet) -> None:
        with fleet.program() as killed:
            fleet.until(fleet.online, "the node is not online")
            command = "echo $(cat); test -e /seen/now || while true; do sleep 0.2; done"
            container = {"image": "alpine", "command": command, "stdin": "hello", "volumes": {"once": "/seen"}}
            run = start(fleet.workflows, container)
            fleet.until(lambda: fleet.names("running"), "the container does not run")
            killed.kill()
        [left] = fleet.ids("status=running")
        fleet.host.podman("exec", left, "/bin/busybox", "touch", "/seen/now")
        with serving(fleet.node()) as node:
            assert [node.node_id] == fleet.online()
            found = run.ended()
            assert (found["status"], found["output"]) == ("completed", "hello\n")
        assert left not in fleet.ids()
        [job] = fleet.workflows.ask("/v1/jobs")["data"]
        assert (job["status"], job["attempt"]) == ("completed", 1)

    def test_retires_when_it_is_told_to_end_and_is_another_node_then(self, fleet: Fleet) -> None:
        with fleet.program() as program:
            fleet.until(fleet.online, "the node is not online")
            [before] = fleet.online()
            program.terminate()
            assert program.wait(WAIT_S_MAX) == 0
        with serving(fleet.node()) as after:
            fleet.until(lambda: fleet.online() == [after.node_id], "another node is not online")
            statuses = {node["node_id"]: node["status"] for node in fleet.workflows.ask("/v1/nodes")["data"]}
            assert statuses == {before: "retired", after.node_id: "online"}
