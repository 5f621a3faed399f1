"""The first ten minutes of the README, line by line, against a running system."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.embedded.ports import free_port

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_S_MAX = 60
STOP_S_MAX = 30
PERSON_S_MAX = 5.0
FOLDWORK = (sys.executable, "-c", "from infra.cli import main; main()")
PORTS = {"8000": "COMMAND", "8001": "QUERY", "8002": "RELAY", "8003": "PROJECTIONS", "8004": "SAGAS"}

pytestmark = [pytest.mark.servers, pytest.mark.timeout(START_S_MAX + 60)]


def blocks() -> list[list[str]]:
    """What a newcomer types after `uv run foldwork up`, a block at a time."""
    section = (ROOT / "README.md").read_text().split("## The first ten minutes")[1].split("\n## ")[0]
    texts = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    found = [re.sub(r"\\\n", " ", text).splitlines() for text in texts]
    assert found[0] == ["uv run foldwork up"]
    return found[1:]


class Newcomer:
    """Types lines into a second terminal; `ports` are where the APIs are instead of 8000 and 8001."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder, self.ports = folder, ports

    def environment(self) -> dict[str, str]:
        ports = {f"FOLDWORK_{name}_PORT": str(port) for name, port in self.ports.items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith("FOLDWORK_")}
        return {**others, **ports, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}

    def type(self, line: str) -> tuple[bool, str]:
        """Whether it was done, and what was printed."""
        words = shlex.split(line)
        if words[0] == "curl":
            answer = self._curl(words[1:])
            return answer.is_success, answer.text
        assert words[:3] == ["uv", "run", "foldwork"], line
        run = subprocess.run(
            [*FOLDWORK, *words[3:]], cwd=self.folder, env=self.environment(), capture_output=True, timeout=30
        )
        return run.returncode == 0, (run.stdout + run.stderr).decode()

    def _curl(self, words: list[str]) -> httpx.Response:
        """As curl would send it."""
        headers, body, url, method = {}, None, "", "GET"
        rest = iter(words)
        for word in rest:
            if word in ("--json", "--data-binary"):
                text = next(rest)
                body = (self.folder / text[1:]).read_bytes() if text.startswith("@") else text.encode()
                method = "POST"
                headers.setdefault("content-type", "application/json")
            elif word == "-H":
                name, _, value = next(rest).partition(": ")
                headers[name.lower()] = value
            elif word != "-s":
                url = word
        place, _, path = url.partition("/")
        port = self.ports[PORTS[place.removeprefix("localhost:")]]
        return httpx.request(method, f"http://{HOST}:{port}/{path}", headers=headers, content=body)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"), {name: free_port(HOST) for name in PORTS.values()})
    with (newcomer.folder / "up.log").open("wb") as output:
        up = subprocess.Popen(
            [*FOLDWORK, "up"], cwd=newcomer.folder, env=newcomer.environment(), stdout=output, stderr=output
        )
        try:
            until = time.monotonic() + START_S_MAX
            while not newcomer.type("uv run foldwork status")[0]:
                assert time.monotonic() < until, (newcomer.folder / "up.log").read_text()
                time.sleep(0.2)
            yield newcomer
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(STOP_S_MAX)


REFUSED = "curl -s --json '{}' localhost:8000/v1/agents/ada/start"
"""What is typed a second time, to see it refused."""

EXPECTED = {
    "/v1/tasks/t1/timeline": "find_invoice",
    "Foldwork-Min-Position": '"status":"started"',
    "events tail": "task.completed",
    "foldwork status": "write_side",
}
"""What is printed after a line that holds this."""


class TestTheFirstTenMinutes:
    def test_work_as_they_are_written(self, newcomer: Newcomer) -> None:
        typed: list[str] = []
        for number, line in ((number, line) for block in blocks() for number, line in enumerate(block)):
            if line in typed:
                assert line == REFUSED
                done, printed = newcomer.type(line)
                assert not done
                assert "agent-already-started" in printed
            else:
                printed = self._done(newcomer, line, PERSON_S_MAX if number == 0 else 0)
            typed.append(line)
            assert all(text in printed for part, text in EXPECTED.items() if part in line), f"{line}\n{printed}"
        assert typed.count(REFUSED) == 2
        assert all(any(part in line for line in typed) for part in EXPECTED)

    def _done(self, newcomer: Newcomer, line: str, within_s: float) -> str:
        """What was printed. Sagas catch up while a person turns to the next block; the lines of a block may be pasted at once."""
        until = time.monotonic() + within_s
        while True:
            done, printed = newcomer.type(line)
            if done:
                return printed
            assert time.monotonic() < until, f"{line}\n{printed}"
            time.sleep(0.1)
