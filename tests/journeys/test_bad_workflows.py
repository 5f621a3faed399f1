"""Bad definitions, bad inputs, expressions without bounds and calls to where nobody may: clear errors, and nothing else suffers."""

import http.server
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra.settings import Settings
from infra.supervisor import Supervisor
from tests.journeys.bad_definitions import (
    CONTEXT,
    DOUBLES,
    ENDLESS,
    EXPRESSIONS_THAT_FAIL,
    FORKS,
    GOOD,
    LARGE,
    MILLION,
    REFUSED,
    SECRET,
    yields,
)
from tests.journeys.redirects import ELSEWHERE, Redirects, asyncapi_calls
from tests.kit.system import Run, SystemWithEnvironment, Workflows, running
from tests.write_side.running import workflow

pytestmark = [pytest.mark.servers]

ANSWER_S_MAX = 1.0
CANCEL_S_MAX = 3.0
VERDICT_S_MAX = 12.0
MEMORY_MIB_MAX = 300
PROBE_S = 0.1
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def allowed() -> Iterator[int]:
    """The port of a server on 127.0.0.2, the one address beyond the public ones that calls may reach."""
    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def system(template: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    settings = Settings(database_url=template("test_bad_workflows"), data_dir=tmp_path_factory.mktemp("bad"))
    environment = {"FOLDWORK_CALL_NETWORKS_ALLOWED": '["127.0.0.2/32"]'}
    with running(SystemWithEnvironment(settings, environment)) as found:
        yield found


@pytest.fixture(scope="module")
def workflows(system: Supervisor) -> Iterator[Workflows]:
    found = Workflows(system.url("write_side"), system.url("read_side"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def probed(system: Supervisor, workflows: Workflows) -> Iterator["Prober"]:
    found = Prober(workflows)
    found.start()
    yield found
    found.stop()


class Prober(threading.Thread):
    """Starts a good run again and again, and notes how long the command API takes to say so."""

    def __init__(self, workflows: Workflows) -> None:
        super().__init__(daemon=True)
        self.document = _register(workflows, GOOD)
        self.workflows = workflows
        self.took_s: list[float] = []
        self.runs: list[Run] = []
        self._over = threading.Event()

    def run(self) -> None:
        # What a process does for its first run is not what is measured.
        self.runs.append(self.workflows.start(self.document, {"n": 1}))
        while not self._over.wait(PROBE_S):
            began = time.monotonic()
            self.runs.append(self.workflows.start(self.document, {"n": 1}))
            self.took_s.append(time.monotonic() - began)

    def stop(self) -> None:
        self._over.set()
        self.join()


def _register(workflows: Workflows, do: list[Any], **more: Any) -> dict[str, Any]:
    definition = workflow(do, **more)
    definition["document"]["name"] = f"w{next(_numbers)}"
    workflows.register(definition)
    return dict(definition["document"])


def _begin(workflows: Workflows, do: list[Any], given: Any = None, **more: Any) -> Run:
    return workflows.start(_register(workflows, do, **more), given)


def _post(workflows: Workflows, content: bytes, kind: str) -> httpx.Response:
    return workflows._commands.post("/v1/workflows", content=content, headers={"content-type": kind})


@pytest.mark.usefixtures("probed")
class TestABadDefinition:
    @pytest.mark.parametrize(("content", "kind", "status", "said"), REFUSED.values(), ids=REFUSED)
    def test_is_refused_with_the_reason(
        self, workflows: Workflows, content: bytes, kind: str, status: int, said: str
    ) -> None:
        began = time.monotonic()
        answer = _post(workflows, content, kind)
        assert time.monotonic() - began < VERDICT_S_MAX
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        assert said in answer.text


@pytest.mark.usefixtures("probed")
class TestABadInput:
    def test_that_is_not_what_the_schema_says_fails_the_run_with_the_place(self, workflows: Workflows) -> None:
        found = _begin(workflows, GOOD, {"pet": {"age": "old"}}, **SECRET).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 400)
        assert found["error"]["type"].endswith("/validation")
        assert "pet" in found["error"]["detail"]
        assert "age" in found["error"]["detail"]

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"workflow_id": "test.nothing"}, 404),
            ({"workflow_id": 7}, 422),
            ({"workflow_id": "no/id"}, 422),
            ({"workflow_id": "test.w1", "input": "x" * 1_000_000}, 413),
            ({"workflow_id": "test.w1", "input": "x" * 5_000_000}, 413),
            ({"workflow_id": "test.w1", "input": "a\x00b"}, 422),
            ({"workflow_id": "test.w1", "labels": [1]}, 422),
            ({"workflow_id": "test.w1", "sooner": True}, 422),
            ({}, 422),
            ([], 422),
        ],
    )
    def test_is_refused_with_the_reason(self, workflows: Workflows, fields: Any, status: int) -> None:
        answer = workflows.tell("/v1/runs", fields)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text

    def test_of_nearly_the_size_of_an_event_ends_the_run_with_an_error(self, workflows: Workflows) -> None:
        found = _begin(workflows, GOOD, "x" * 982_000).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 500)
        assert "too large" in found["error"]["detail"]


@pytest.mark.usefixtures("probed")
class TestAnExpressionWithoutBounds:
    def test_fails_its_run_and_no_other(self, workflows: Workflows) -> None:
        begun = {name: _begin(workflows, yields(each)) for name, (each, _) in EXPRESSIONS_THAT_FAIL.items()}
        for name, run in begun.items():
            found = run.ended(40)
            assert found["status"] == ("completed" if name == "regex" and found["error"] is None else "faulted"), name
            if found["status"] == "faulted":
                assert EXPRESSIONS_THAT_FAIL[name][1] in found["error"]["detail"], (name, found["error"])


@pytest.mark.usefixtures("probed")
class TestDataThatGrows:
    @pytest.mark.parametrize("do", [DOUBLES, FORKS, CONTEXT], ids=["doubles", "forks", "context"])
    def test_fails_the_run_once_an_event_cannot_hold_it(self, workflows: Workflows, do: list[Any]) -> None:
        found = _begin(workflows, do, {"b": [1, 2, 3, 4]}).ended()
        assert found["status"] == "faulted"
        # A list of so many numbers may be too slow before it is too large.
        assert "too " in found["error"]["detail"]

    def test_is_written_in_many_appends(self, workflows: Workflows) -> None:
        run = _begin(workflows, LARGE, {"a": "x" * 200_000})
        assert run.ended(60)["status"] == "completed"


@pytest.mark.usefixtures("probed")
class TestALoop:
    @pytest.mark.parametrize("do", [ENDLESS, MILLION], ids=["endless", "million"])
    @pytest.mark.parametrize("how", ["cancel", "terminate"])
    def test_can_be_ended(self, workflows: Workflows, do: list[Any], how: str) -> None:
        run = _begin(workflows, do, {"n": 0})
        time.sleep(1)
        assert run.detail()["status"] == "running"
        began = time.monotonic()
        answer = workflows.tell(f"/v1/runs/{run.run_id}/{how}", {})
        assert answer.status_code == 200, answer.text
        assert run.ended()["status"] == "cancelled"
        assert time.monotonic() - began < CANCEL_S_MAX

    def test_of_functions_fails(self, workflows: Workflows) -> None:
        found = _begin(workflows, [{"a": {"call": "f"}}], None, use={"functions": {"f": {"call": "f"}}}).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 500)
        assert "64 deep" in found["error"]["detail"]


@pytest.mark.usefixtures("probed")
class TestACall:
    def test_to_where_the_operator_allowed_nothing_fails(
        self, system: Supervisor, workflows: Workflows, allowed: int
    ) -> None:
        own = system.url("write_side")
        port = own.rsplit(":", 1)[1]
        addresses = [
            "http://169.254.169.254/",
            "http://metadata.google.internal/",
            own + "/v1/agents",
            *(
                f"http://{host}:{port}/"
                for host in ("localhost", "localhost.", "LOCALHOST", "[::1]", "0x7f000001", "2130706433", "0")
            ),
            *(f"http://{host}:{port}/" for host in ("[::ffff:127.0.0.1]", "127.1", "user@127.0.0.1")),
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://192.168.0.1/",
            "http://100.64.0.1/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "ftp://127.0.0.1/",
        ]
        begun = {address: _begin(workflows, [{"a": _get(address)}]) for address in addresses}
        # A call itself follows no redirect; the documents of one do.
        for elsewhere in (f"{own}/openapi.json", *(f"http://127.0.0.2:{allowed}{path}" for path in ELSEWHERE)):
            document = {"document": {"endpoint": elsewhere}, "operationId": "x"}
            begun[elsewhere] = _begin(workflows, [{"a": {"call": "openapi", "with": document}}])
            begun[f"a function at {elsewhere}"] = _begin(workflows, [{"a": {"call": elsewhere}}])
            schema = {"schema": {"resource": {"endpoint": elsewhere}}}
            begun[f"a schema at {elsewhere}"] = _begin(workflows, [{"a": {"set": {"a": 1}, "input": schema}}])
        hosts = (
            "169.254.169.254",
            "metadata.google.internal",
            f"localhost:{port}",
            f"[::1]:{port}",
            "0x7f.1",
            "10.0.0.1",
        )
        for place in (f"{protocol}/{host}" for protocol in ("ws", "wss", "nats") for host in hosts):
            for number, task in enumerate(asyncapi_calls(f"http://127.0.0.2:{allowed}", place)):
                begun[f"{place} {number}"] = _begin(workflows, [{"a": task}])
        wrong = {}
        for address, run in begun.items():
            found = run.ended()
            error = found["error"] or {}
            said = "FOLDWORK_CALL_NETWORKS_ALLOWED", "FOLDWORK_CALL_ORIGINS", "http and https", "notation"
            if (found["status"], error.get("status")) != ("faulted", 403) or not any(
                each in error["detail"] for each in said
            ):
                wrong[address] = (found["status"], error)
        assert wrong == {}, wrong

    def test_follows_no_redirect(self, workflows: Workflows, allowed: int) -> None:
        found = _begin(workflows, [{"a": _get(f"http://127.0.0.2:{allowed}/away")}]).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 302)
        for task in asyncapi_calls(f"http://127.0.0.2:{allowed}", f"ws/127.0.0.2:{allowed}"):
            found = _begin(workflows, [{"a": task}]).ended()
            assert (found["status"], found["error"]["status"]) == ("faulted", 302)

    def test_to_what_the_operator_allowed_is_made(self, workflows: Workflows, allowed: int) -> None:
        assert _begin(workflows, [{"a": _get(f"http://127.0.0.2:{allowed}/")}]).ended()["status"] == "completed"


def _get(address: str) -> dict[str, Any]:
    return {"call": "http", "with": {"method": "get", "endpoint": address}}


class TestAfterAllThat:
    def test_the_good_runs_completed_and_nothing_is_lost(
        self, system: Supervisor, workflows: Workflows, probed: Prober
    ) -> None:
        probed.stop()
        assert len(probed.runs) > 20
        assert {run.ended()["status"] for run in probed.runs} == {"completed"}
        assert max(probed.took_s) < ANSWER_S_MAX, sorted(probed.took_s)[-5:]
        assert {name: system.restarts(name) for name in system.names if system.restarts(name)} == {}
        memory = {name: _memory_mib(system.pid(name)) for name in system.names}
        assert {name: used for name, used in memory.items() if used > MEMORY_MIB_MAX} == {}, memory
        with psycopg.connect(str(system.settings.database_url)) as connection:
            dead = connection.execute("SELECT count(*) FROM dead_letter").fetchone()
            log = connection.execute("SELECT count(*), min(position), max(position) FROM event").fetchone()
        assert dead == (0,)
        assert log is not None
        assert log[1:] == (1, log[0])


def _memory_mib(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
