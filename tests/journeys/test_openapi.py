"""Both APIs under schemathesis: every answer is as documented, whatever is sent, and none of it is a breakdown.

The system is real: the command API, the query API and the projectors as processes of their own.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import nats
import orjson
import pytest

from infra.embedded.nats import EmbeddedNats
from infra.embedded.ports import free_port

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
START_S_MAX = 30
RUN_S_MAX = 110
EXAMPLES = 5
ENDLESS = ("/v1/events/stream", "/v1/tasks/{task_id}/live")

COMMANDS = [
    {"command": "CreateAgent", "agent_id": "ada", "name": "Ada", "agent_type": "reactive", "capabilities": ["think"]},
    {"command": "StartAgent", "agent_id": "ada"},
    {"command": "RequestTask", "task_id": "t", "agent_id": "ada", "title": "Think", "timeout_s": 3600},
    {"command": "StartTask", "task_id": "t"},
    {"command": "RecordTaskStep", "task_id": "t", "step": {"kind": "message", "role": "user", "content": "Hello"}},
    {"command": "RecordTaskStep", "task_id": "t", "step": {"kind": "tool_call", "tool": "search", "reply": "found"}},
    {"command": "RecordTaskUsage", "task_id": "t", "model": "m", "tokens_in": 1, "tokens_out": 2},
    {"command": "CompleteTask", "task_id": "t", "result": {"answer": 42}},
    {"command": "RegisterNode", "node_id": "n", "name": "n", "cpu_milli": 1000, "memory_mib": 512, "gpu_count": 1},
    {"command": "HeartbeatNode", "node_id": "n"},
    {"command": "SubmitJob", "job_id": "j", "kind": "k", "requirements": {"cpu_milli": 1, "memory_mib": 1}},
    {
        "command": "SubmitJob",
        "job_id": "k",
        "kind": "k",
        "requirements": {"cpu_milli": 1, "memory_mib": 1},
        "depends_on": ["j"],
    },
    {
        "command": "RegisterWorkflow",
        "definition": {
            "document": {"dsl": "1.0.3", "namespace": "a", "name": "b", "version": "1.0.0"},
            "do": [{"rest": {"wait": {"seconds": 1}}}],
        },
    },
    {"command": "RequestApproval", "approval_id": "p", "title": "Pay", "people": ["ada"], "form": {"type": "object"}},
    {
        "command": "PublishMessage",
        "event": {"specversion": "1.0", "id": "m", "source": "/shop", "type": "order.paid", "data": {"amount": 12}},
    },
    {"command": "ActivateWorkflow", "workflow_id": "a.b", "workflow_version": "1.0.0"},
    {"command": "StartRun", "run_id": "r", "workflow_id": "a.b", "labels": {"team": "north"}},
]


@dataclass(frozen=True)
class System:
    """Where the APIs answer, and what the processes have logged."""

    command_url: str
    query_url: str
    log_files: list[Path]

    def breakdowns(self) -> list[str]:
        lines = [line for file in self.log_files for line in file.read_bytes().splitlines() if line.startswith(b"{")]
        return [line.decode() for line in lines if orjson.loads(line)["level"] in ("error", "critical")]


@pytest.fixture(scope="module")
def system(
    template: Callable[[str], str], embedded_nats: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The processes, with one of each thing already there."""
    asyncio.run(_without_streams(embedded_nats.url))
    ports = {name: free_port(HOST) for name in ("COMMAND", "QUERY", "PROJECTIONS")}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FOLDWORK_")},
        **{f"FOLDWORK_{name}_PORT": str(port) for name, port in ports.items()},
        "FOLDWORK_DATABASE_URL": template("test_openapi"),
        "FOLDWORK_NATS_URL": embedded_nats.url,
    }
    folder = tmp_path_factory.mktemp("openapi")
    running, log_files = [], []
    for module in ("write_side", "read_side", "projections"):
        log_files.append(folder / f"{module}.log")
        with log_files[-1].open("wb") as output:
            running.append(subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=output))
    system = System(f"http://{HOST}:{ports['COMMAND']}", f"http://{HOST}:{ports['QUERY']}", log_files)
    try:
        for url in (system.command_url, system.query_url, f"http://{HOST}:{ports['PROJECTIONS']}"):
            _wait_until_ready(url)
        _do(system)
        yield system
        assert [process.poll() for process in running] == [None] * 3
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
    assert system.breakdowns() == []


async def _without_streams(url: str) -> None:
    """The mirror of another test's log would be taken for that of this one."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        await jetstream.delete_stream(str(stream.config.name))
    await client.close()


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not get ready")


def _do(system: System) -> None:
    answer = httpx.post(f"{system.command_url}/v1/commands", json=COMMANDS)
    assert {result["status"] for result in answer.json()["results"]} <= {200, 201}
    headers = {"Foldwork-Min-Position": answer.headers["Foldwork-Position"]}
    assert httpx.get(f"{system.query_url}/v1/projections", headers=headers).status_code == httpx.codes.OK


def _examine(url: str, folder: Path, *options: str) -> None:
    """Run schemathesis with all its checks; the tool's own report is the message if it finds anything."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", "all", "--no-color"]
    bounds = ["--max-examples", str(EXAMPLES), "--generation-deterministic"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.journeys.openapi_rules", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *bounds, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_S_MAX
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestTheCommandApi:
    def test_does_what_its_document_says(self, system: System, tmp_path: Path) -> None:
        _examine(system.command_url, tmp_path)


class TestTheQueryApi:
    def test_does_what_its_document_says(self, system: System, tmp_path: Path) -> None:
        _examine(system.query_url, tmp_path, *(option for path in ENDLESS for option in ("--exclude-path", path)))

    def test_does_so_too_where_an_answer_has_no_end(self, system: System, tmp_path: Path) -> None:
        included = [option for path in ENDLESS for option in ("--include-path", path)]
        _examine(system.query_url, tmp_path, *included, "--request-timeout", "0.1", "--phases", "coverage")
