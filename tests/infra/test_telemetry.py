"""Logs that keep secrets, and the health pages of a process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import orjson
import pytest
import structlog
from pydantic import BaseModel, ValidationError

from infra.telemetry import configure_logging, new_registry, queue_depths, redact_text, serve_health


@dataclass
class Health:
    """A served health page whose readiness a test decides."""

    url: str
    port: int
    ready: bool = False


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    registry = new_registry()
    queue_depths(registry).labels("append").set(7)
    served = Health("", 0)
    async with serve_health(0, lambda: served.ready, registry=registry) as port:
        served.url, served.port = f"http://127.0.0.1:{port}", port
        yield served


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.outside
class TestTheHealthPages:
    async def test_say_alive_before_ready(self, health: Health) -> None:
        async with httpx.AsyncClient(base_url=health.url, verify=False) as http:
            assert (await http.get("/healthz")).json() == {"status": "alive"}
            assert (await http.get("/readyz")).status_code == 503
            health.ready = True
            assert (await http.get("/readyz")).json() == {"status": "ready"}

    async def test_show_metrics_of_the_process_and_its_queues(self, health: Health) -> None:
        async with httpx.AsyncClient(base_url=health.url, verify=False) as http:
            page = (await http.get("/metrics?name=all")).text
        assert 'foldwork_queue_depth{queue="append"} 7.0' in page
        assert "process_resident_memory_bytes" in page

    async def test_refuse_other_paths_and_methods(self, health: Health) -> None:
        async with httpx.AsyncClient(base_url=health.url, verify=False) as http:
            assert (await http.get("/")).status_code == 404
            assert (await http.post("/healthz")).status_code == 405

    async def test_live_through_nonsense(self, health: Health) -> None:
        assert b"405" in await raw(health.port, b"\x00\xff nonsense\r\n\r\n")
        assert await raw(health.port, b"x" * 100_000) == b""
        async with httpx.AsyncClient(base_url=health.url, verify=False) as http:
            assert (await http.get("/healthz")).status_code == 200


class Amount(BaseModel):
    amount: int


class TestALogLine:
    @pytest.fixture(autouse=True)
    def logging_as_before(self) -> object:
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        yield
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()

    def lines(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]

    def test_is_json_with_the_service_on_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("relay")
        structlog.get_logger("infra").info("mirror healed", position=12)
        logging.getLogger("nats").warning("lost %s", "connection")
        first, second = self.lines(capsys)
        assert first.items() >= {"service": "relay", "event": "mirror healed", "position": 12, "level": "info"}.items()
        assert second.items() >= {"service": "relay", "event": "lost connection", "logger": "nats"}.items()

    def test_is_left_out_below_the_level(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("relay", "WARNING")
        structlog.get_logger("infra").info("nobody wants to know")
        assert self.lines(capsys) == []

    def test_withholds_what_users_sent(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("relay")
        structlog.get_logger("infra").warning(
            "parked", data={"prompt": "my address"}, headers={"a": "b"}, at={"payload": "x", "position": 3}
        )
        (line,) = self.lines(capsys)
        assert line["data"] == line["headers"] == "[withheld]"
        assert line["at"] == {"payload": "[withheld]", "position": 3}

    def test_withholds_passwords_and_input_in_exceptions(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("relay")
        sent = {"amount": " ".join(("my", "salary"))}
        try:
            Amount.model_validate(sent)
        except ValidationError as wrong:
            structlog.get_logger("infra").error("failed", exc_info=wrong, database="postgresql://me:hunter2@db/x")
        text = capsys.readouterr().err
        assert "hunter2" not in text
        assert "salary" not in text
        assert "ValidationError" in text

    def test_survives_what_is_no_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("relay")
        structlog.get_logger("infra").info("odd", name="\ud800", value=object())
        assert "odd" in capsys.readouterr().err


class TestRedactedText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("postgresql://me:p%40ss@host/db", "postgresql://me:[withheld]@host/db"),
            ("postgresql://me:p@ss@host/db", "postgresql://me:[withheld]@host/db"),
            ("failed to resolve host 'ss@db': unknown", "failed to resolve host '[withheld]@db': unknown"),
            ('invalid percent-encoded token: "p%ss"', "invalid percent-encoded token: [withheld]"),
            (
                'missing "=" after "ss"" in connection info string',
                'missing "=" after [withheld] in connection info string',
            ),
            (
                'missing "=" after "pg://me:pass@host" in connection info string',
                'missing "=" after "pg://me:[withheld]@host" in connection info string',
            ),
            ("nats://me:secret@127.0.0.1:4222", "nats://me:[withheld]@127.0.0.1:4222"),
            ("nats://secret@127.0.0.1:4222", "nats://[withheld]@127.0.0.1:4222"),
            (r"host=db password='my \' secret' user=me", "host=db password=[withheld] user=me"),
            (
                'unexpected spaces found in "my secret", use percent-encoded',
                "unexpected spaces found in [withheld], use percent-encoded",
            ),
            ("postgresql://foldwork@/foldwork?host=/tmp/x", "postgresql://foldwork@/foldwork?host=/tmp/x"),
            ("host=db user=me password=secret dbname=x", "host=db user=me password=[withheld] dbname=x"),
            ("duplicate key\nDETAIL:  Key (name)=(Ann) exists.", "duplicate key\nDETAIL: [withheld]"),
            ("http://127.0.0.1:8000/v1/agents", "http://127.0.0.1:8000/v1/agents"),
        ],
    )
    def test_keeps_what_helps_and_drops_what_is_private(self, text: str, shown: str) -> None:
        assert redact_text(text) == shown

    def test_keeps_both_ends_of_what_is_too_long(self) -> None:
        shown = redact_text("begin" + "x" * 100_000 + "end")
        assert len(shown) < 9_000
        assert shown.startswith("begin")
        assert shown.endswith("end")
