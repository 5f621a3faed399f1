"""A small server that speaks as much of both APIs as the commands need; its rows are what the projections make of events."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from events.catalog import CATALOG
from events.envelope import Envelope
from events.event import Event
from events.run import RunStarted, RunTaskStarted
from infra.patterns.projection import Key
from projections.run_directory import RUN_DIRECTORY, RunRow
from projections.run_tasks import RUN_TASKS, RunTaskRow
from read_side.runs import as_shown

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PROBLEM = "application/problem+json"

Reply = tuple[int, str, bytes]


def started(**fields: Any) -> RunStarted:
    digest = "sha256:" + "0" * 64
    return RunStarted(
        **{
            "workflow_id": "travel.book",
            "workflow_version": "1.0.0",
            "digest": digest,
            "started_at": START,
            **fields,
        }
    )


def task(number: int, name: str, parent: int = 0, kind: str = "call", **fields: Any) -> RunTaskStarted:
    at = START + timedelta(seconds=number)
    return RunTaskStarted(
        task=number, parent=parent, reference=f"/do/{name}", name=name, kind=kind, started_at=at, **fields
    )


def problem(status: int, detail: str, **members: Any) -> Reply:
    return status, PROBLEM, orjson.dumps({"type": "x", "title": "t", "status": status, "detail": detail, **members})


class LocalApi:
    """Use it as a context. `commands` are those that came, as path, headers and body; `asked` are the paths that were asked for.

    `answer` comes instead of what it answers to commands, `found` to questions.
    `later` happens when somebody begins to follow the events; each event comes a second after the one before.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, str], bytes]] = []
        self.asked: list[str] = []
        self.answer: Reply | None = None
        self.found: Reply | None = None
        self.later: list[Callable[[], None]] = []
        self.lists: dict[str, list[Any]] = {}
        self._runs: dict[Key, RunRow] = {}
        self._tasks: dict[Key, RunTaskRow] = {}
        self.events: list[dict[str, Any]] = []

    def happen(self, run_id: str, *events: Event) -> None:
        for event in events:
            position = len(self.events) + 1
            version = 1 + sum(each["subject"] == f"run-{run_id}" for each in self.events)
            at = START + timedelta(seconds=position)
            envelope = Envelope(position, f"e{position}", "default", f"run-{run_id}", version, at, event)
            self.events.append(
                {
                    "position": position,
                    "id": envelope.id,
                    "type": event.type,
                    "schemaversion": event.version,
                    "tenantid": "default",
                    "subject": envelope.stream_id,
                    "streamversion": version,
                    "time": at.isoformat(),
                    "data": orjson.loads(CATALOG.encode(event)),
                }
            )
            key = RUN_DIRECTORY.locate(envelope)
            self._runs[key] = RUN_DIRECTORY.project(envelope, self._runs.get(key))  # type: ignore[assignment]  # only what has begun goes on
            if isinstance(event, RUN_TASKS.handles):
                key = RUN_TASKS.locate(envelope)
                self._tasks[key] = RUN_TASKS.project(envelope, self._tasks.get(key))  # type: ignore[assignment]  # only what has begun goes on

    def answered(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        path = urlsplit(target).path
        if method == "POST":
            self.commands.append((path, headers, body))
            return self.answer or (200, "application/json", orjson.dumps(self._accepted(path)))
        self.asked.append(target)
        return self.found or self._found(path, dict(parse_qsl(urlsplit(target).query)))

    def _accepted(self, path: str) -> dict[str, Any]:
        stream = "workflow-travel.book" if path.startswith("/v1/workflows") else "run-r1"
        return {"stream_id": stream, "version": 1, "position": len(self.events), "event_ids": []}

    def _found(self, path: str, query: dict[str, str]) -> Reply:
        _, _, noun, *rest = path.split("/")
        if path == "/v1/events/stream":
            return 200, "text/event-stream", self._sent(int(query["after"]), query["stream"])
        if noun == "runs" and rest:
            run = self._runs.get(("default", rest[0]))
            if run is None:
                return problem(404, f"There is no run {rest[0]}.")
            if len(rest) == 1:
                return 200, "application/json", run.model_dump_json().encode()
            tasks = [row for key, row in sorted(self._tasks.items()) if key[1] == rest[0]]
            rows = [as_shown(row, run).model_dump(mode="json") for row in tasks]
        else:
            rows = self.lists.get(noun) or [row.model_dump(mode="json") for row in reversed(self._runs.values())]
        begin = int(query.get("cursor", 0))
        end = begin + int(query["limit"])
        page = {"data": rows[begin:end], "next_cursor": str(end) if end < len(rows) else None}
        return 200, "application/json", orjson.dumps(page)

    def _sent(self, after: int, stream: str) -> bytes:
        """What is there, and one of `later`; then the connection ends."""
        if self.later:
            self.later.pop(0)()
        found = [each for each in self.events if each["position"] > after and each["subject"] == stream]
        return b": hello\n\n" + b"".join(b"data: %b\n\n" % orjson.dumps(each) for each in found)

    def __enter__(self) -> "LocalApi":
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, kind, text = api.answered(self.command, self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Foldwork-Position", str(len(api.events)))
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _reply

            def log_message(self, *_: Any) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.port = self._server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
