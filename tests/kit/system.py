"""A whole system for workflows: as `foldwork up` starts it, with the world outside in the place of the hosts that calls are meant for."""

import asyncio
import threading
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import httpx
import orjson

from infra.embedded.process import Launch
from infra.parts import Part
from infra.settings import Settings
from infra.supervisor import Supervisor

START_S_MAX = 60.0
REQUEST_S_MAX = 15.0
END_S_MAX = 20.0
POLL_S = 0.05
STARTED, SKIPPED = "run.task_started", "run.task_skipped"
ENDS = {"completed", "faulted", "cancelled", "compensated"}

_numbers = count(1)


class SystemWithEnvironment(Supervisor):
    """A supervisor that gives its processes what they are not told by settings."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        super().__init__(settings, ports="auto")
        self._environment = dict(environment)

    def _launch(self, part: Part) -> Launch:
        launch = super()._launch(part)
        assert launch.environment is not None
        return replace(launch, environment=ChainMap(self._environment, dict(launch.environment)))


@contextmanager
def running(system: Supervisor) -> Iterator[Supervisor]:
    """It lives in a loop and a thread of its own, so that steps and tests may simply wait."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(system.start(), loop).result(START_S_MAX)
        try:
            yield system
        finally:
            asyncio.run_coroutine_threadsafe(system.stop(), loop).result(START_S_MAX)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Workflows:
    """Both APIs, for a tenant that nobody else has: examples share their names."""

    def __init__(self, command_url: str, query_url: str) -> None:
        self.tenant_id = f"kit-{next(_numbers)}"
        headers = {"Foldwork-Tenant": self.tenant_id}
        self._commands = httpx.Client(base_url=command_url, headers=headers, timeout=REQUEST_S_MAX, trust_env=False)
        self._queries = httpx.Client(base_url=query_url, headers=headers, timeout=REQUEST_S_MAX, trust_env=False)

    def close(self) -> None:
        self._commands.close()
        self._queries.close()

    def register(self, definition: Any) -> None:
        """A document, in whatever notation; it must be a good one."""
        content, kind = definition, "application/yaml"
        if not isinstance(definition, str | bytes):
            content, kind = orjson.dumps(definition), "application/json"
        answer = self._commands.post("/v1/workflows", content=content, headers={"content-type": kind})
        assert answer.status_code in (200, 201), answer.text

    def refused(self, definition: str) -> list[str]:
        """The places of a document for which its registration is refused."""
        answer = self._commands.post("/v1/workflows", content=definition, headers={"content-type": "application/yaml"})
        assert answer.status_code == 422, answer.text
        return [each["pointer"] for each in answer.json()["errors"]]

    def activate(self, workflow_id: str, version: str) -> int:
        """Have it started by its schedule; gives the position at which it was."""
        path = f"/v1/workflows/{workflow_id}/activate"
        answer = self._commands.post(path, json={"workflow_version": version})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["position"])

    def start(self, document: Mapping[str, Any], given: Any) -> "Run":
        """Start a workflow by the `document` of its definition."""
        asked = {
            "workflow_id": f"{document['namespace']}.{document['name']}",
            "workflow_version": document["version"],
            "input": given,
        }
        answer = self._commands.post("/v1/runs", json=asked)
        assert answer.status_code == 201, answer.text
        said = answer.json()
        return Run(self, said["stream_id"].removeprefix("run-"), said["position"])

    def runs(self, workflow_id: str) -> list["Run"]:
        """Those of a workflow that the read model knows."""
        found = self.ask("/v1/runs", workflow_id=workflow_id)["data"]
        return [Run(self, each["run_id"], 0) for each in found]

    def publish(self, event: Mapping[str, Any]) -> None:
        """Hand an event to whoever waits for it."""
        answer = self._commands.post("/v1/messages", json=event)
        assert answer.is_success, answer.text

    def tell(self, path: str, fields: Any) -> httpx.Response:
        return self._commands.post(path, json=fields)

    def ask(self, path: str, position: int = 0, **parameters: Any) -> Any:
        answer = self._queries.get(path, params=parameters, headers={"Foldwork-Min-Position": str(position)})
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass(frozen=True, slots=True)
class Run:
    """One run, followed from outside."""

    workflows: Workflows
    run_id: str
    position: int

    def detail(self) -> dict[str, Any]:
        return dict(self.workflows.ask(f"/v1/runs/{self.run_id}", self.position))

    def tasks(self) -> list[dict[str, Any]]:
        """In the order in which they began."""
        found = self.workflows.ask(f"/v1/runs/{self.run_id}/tasks", self.position, limit=1_000)
        return list(found["data"])

    def ended(self, within_s: float = END_S_MAX) -> dict[str, Any]:
        """Wait for its end."""
        until = time.monotonic() + within_s
        while (found := self.detail())["status"] not in ENDS:
            assert time.monotonic() < until, f"after {within_s:g} s the run is still {found['status']}: {self.tasks()}"
            time.sleep(POLL_S)
        return found

    def until_awaiting(self, kind: str, times: int = 1) -> None:
        """Wait until so many tasks wait, or have waited, for something of a kind: `events`, `timer`, `call`."""
        until = time.monotonic() + END_S_MAX
        while sum((each["data"].get("awaits") or {}).get("kind") == kind for each in self.events(STARTED)) < times:
            assert time.monotonic() < until, f"nothing waits for {kind}: {self.detail()}"
            time.sleep(POLL_S)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Send an event to this run alone."""
        answer = self.workflows.tell(f"/v1/runs/{self.run_id}/send-event", {"event": event})
        assert answer.is_success, answer.text

    def cancel(self) -> None:
        answer = self.workflows.tell(f"/v1/runs/{self.run_id}/cancel", {"compensate": False})
        assert answer.is_success, answer.text

    def events(self, *types: str) -> list[dict[str, Any]]:
        """What its stream holds, of these types if any are named."""
        found = self.workflows.ask("/v1/events", self.position, stream=f"run-{self.run_id}", limit=1_000)["data"]
        return [each for each in found if not types or each["type"] in types]

    def begun(self) -> list[str]:
        """The names of its tasks in the order in which they had their turn, those that were skipped too."""
        return [each["data"]["name"] for each in self.events(STARTED, SKIPPED)]
