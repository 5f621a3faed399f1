"""What a node reports of jobs that end in a way of their own. The APIs are played, since they would have to be late or in the way."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

import foldwork.node as node_module
from foldwork import Job, Node, Refused
from foldwork.answers import Answer
from foldwork.client import Client
from foldwork.event_tail import Event

pytestmark = pytest.mark.waits

ROW = {
    "job_id": "j",
    "tenant_id": "t",
    "kind": "k",
    "attempt": 1,
    "payload": {},
    "cpu_milli": 1,
    "memory_mib": 1,
    "labels": {},
}
RUNNING = {**ROW, "node_id": "n", "status": "running"}
CANCELLED = Event(11, "job.cancelled", "job-j", {"node_id": "n", "attempt": 1}, {})
CONTENDED = {"status": 409, "type": "https://foldwork.example/problems/stream-moved", "detail": "Others were faster."}


class Played:
    """In the place of Client: takes every command; the job is cancelled from position 11 on."""

    def __init__(self) -> None:
        self.position = 10
        self.sent: list[str] = []
        self.list_s = 0.0

    async def __aenter__(self) -> "Played":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, command: str, fields: Mapping[str, Any], *, command_id: str | None = None) -> Answer:
        self.sent.append(command)
        return Answer("job-j", 1, 10, ())

    async def query(self, path: str, *, min_position: int | None = None, **parameters: Any) -> Any:
        if path.startswith("/v1/nodes/"):
            return {"reservations": {}}
        if path == "/v1/jobs":
            await asyncio.sleep(self.list_s)
            return {"data": [RUNNING] if parameters["status"] == "running" else [], "next_cursor": None}
        return {**RUNNING, "status": "cancelled"} if (min_position or 0) >= 11 else RUNNING


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    found = Played()

    async def registered(*_: object) -> str:
        return "n"

    async def never_left(*_: object) -> bool:
        return False

    async def followed(*_: object, **__: object) -> AsyncIterator[Event]:
        if found.list_s:
            yield CANCELLED
        await asyncio.sleep(3600)

    monkeypatch.setattr(node_module, "Client", lambda *_, **__: found)
    monkeypatch.setattr(node_module, "register", registered)
    monkeypatch.setattr(node_module, "leave", never_left)
    monkeypatch.setattr(node_module, "subscribe", followed)
    return found


async def serve(function: Callable[[Job], Awaitable[Any]], drained_after_s: float) -> None:
    node = Node("box", cpu_milli=1, memory_mib=1, heartbeat_s=0.2, drain_s_max=0.2)
    node.job("k")(function)
    serving = asyncio.create_task(node.serve())
    await asyncio.sleep(drained_after_s)
    node.drain()
    await asyncio.gather(serving, return_exceptions=True)


class TestAJob:
    async def test_that_is_stopped_has_not_failed_whatever_it_raises_then(self, played: Played) -> None:
        async def do(job: Job) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                raise OSError("no space left to clean up")

        await serve(do, 0.3)
        assert "StartJob" in played.sent
        assert "FailJob" not in played.sent

    async def test_that_exits_fails_and_not_the_node(self, played: Played) -> None:
        async def do(job: Job) -> None:
            sys.exit(3)

        await serve(do, 0.5)
        assert played.sent.count("FailJob") == 1
        assert played.sent.count("HeartbeatNode") >= 2

    async def test_that_was_cancelled_while_the_node_looked_what_it_had_is_not_begun(self, played: Played) -> None:
        played.list_s = 0.2
        begun: list[str] = []

        async def do(job: Job) -> None:
            begun.append(job.id)

        await serve(do, 0.6)
        assert begun == []


class TestANode:
    async def test_ends_where_the_log_has_not_come_to_what_it_knows(
        self, played: Played, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refused(*_: object, **__: object) -> AsyncIterator[Event]:
            raise Refused({"status": 409, "detail": "The log is at position 5, not at 10 yet."})
            yield CANCELLED

        async def do(job: Job) -> None:
            await asyncio.sleep(100)

        monkeypatch.setattr(node_module, "subscribe", refused)
        node = Node("box", cpu_milli=1, memory_mib=1, heartbeat_s=0.2, drain_s_max=0.2)
        node.job("k")(do)
        async with asyncio.timeout(5):
            with pytest.raises(Refused, match="at position 5, not at 10"):
                await node.serve()
        assert "FailJob" not in played.sent


class TestACommand:
    @pytest.mark.parametrize("given", [None, 3])
    async def test_that_others_got_in_the_way_of_is_asked_again_if_it_named_no_version(
        self, monkeypatch: pytest.MonkeyPatch, given: int | None
    ) -> None:
        answers: list[Answer | Refused] = [Refused(CONTENDED), Answer("job-j", 1, 10, ())]

        async def over_http(*_: object) -> Answer:
            answer = answers.pop(0)
            if isinstance(answer, Refused):
                raise answer
            return answer

        async with Client("http://127.0.0.1:9", "http://127.0.0.1:9", give_up_after_s=5) as client:
            monkeypatch.setattr(client, "_over_http", over_http)
            sending = client.send("StartJob", {"job_id": "j"}, expected_version=given)
            if given is None:
                assert (await sending).version == 1
            else:
                with pytest.raises(Refused):
                    await sending
