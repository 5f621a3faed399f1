"""Many commands in one request."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api

CREATE = {"command": "CreateAgent", "agent_id": "a", "name": "Ada", "agent_type": "reactive"}
START = {"command": "StartAgent", "agent_id": "a"}


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[CommandApi]:
    async with command_api(settings.model_copy(update={"commands_per_request_max": 20})) as api:
        yield api


async def results(api: CommandApi, *commands: Any) -> list[dict[str, Any]]:
    answer = await api.post("/v1/commands", list(commands))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


class TestABatch:
    async def test_is_carried_out_in_order_with_one_result_each(self, api: CommandApi) -> None:
        created, started, again = await results(api, CREATE, START, START)
        assert (created["status"], created["stream_id"], created["version"]) == (201, "agent-a", 1)
        assert (started["status"], started["version"], started["position"]) == (200, 2, 3)
        assert (again["status"], again["type"]) == (409, "https://foldwork.dev/problems/agent-already-started")

    async def test_names_the_highest_position(self, api: CommandApi) -> None:
        answer = await api.post("/v1/commands", [CREATE, START, START])
        assert answer.headers["foldwork-position"] == "3"

    async def test_may_be_empty(self, api: CommandApi) -> None:
        assert await results(api) == []

    async def test_may_come_as_lines(self, api: CommandApi) -> None:
        lines = b"\r\n".join(orjson.dumps(command) for command in (CREATE, START)) + b"\n\n"
        answer = await api.send(lines, "application/x-ndjson", "/v1/commands")
        assert [result["status"] for result in answer.json()["results"]] == [201, 200]

    async def test_refuses_what_is_no_command_and_goes_on(self, api: CommandApi) -> None:
        strange: list[Any] = [None, 1, "x", [], {}, {"command": 1}, {"command": "Fly"}, {"command": "QueueJob"}]
        found = await results(api, *strange, {**CREATE, "surprise": 1}, {**START, "agent_id": ""}, CREATE)
        assert [result["status"] for result in found] == [422] * 10 + [201]
        assert found[8]["errors"] == [{"pointer": "/surprise", "detail": "there is no such field"}]

    @pytest.mark.parametrize("name", ["Fly", 1, None])
    async def test_names_a_command_that_there_is_not_as_it_is_named_alone(self, api: CommandApi, name: object) -> None:
        (found,) = await results(api, {"command": name})
        assert (found["type"], found["title"]) == (
            "https://foldwork.dev/problems/command-unknown",
            "There is no such command.",
        )

    async def test_refuses_a_line_that_is_not_json_and_goes_on(self, api: CommandApi) -> None:
        lines = b"\n".join([b"{", b"\xff", b"[" * 1_000, orjson.dumps(CREATE)])
        answer = await api.send(lines, "application/x-ndjson", "/v1/commands")
        assert [result["status"] for result in answer.json()["results"]] == [400, 400, 400, 201]

    async def test_takes_what_the_server_fills_from_nobody(self, api: CommandApi) -> None:
        command = {"command": "FailJob", "job_id": "j", "attempt": 1, "error": "e", "at": "2026-01-01T00:00:00Z"}
        assert (await results(api, command))[0]["errors"][0]["pointer"] == "/at"

    async def test_notes_heartbeats(self, api: CommandApi) -> None:
        node = {"command": "RegisterNode", "node_id": "n", "name": "n", "cpu_milli": 1, "memory_mib": 1}
        await results(api, node, {"command": "HeartbeatNode", "node_id": "n"})
        assert api.heard.streams == [("default", "node-n")]

    async def test_keeps_large_numbers_exact(self, api: CommandApi) -> None:
        job = {"command": "SubmitJob", "kind": "k", "requirements": {"cpu_milli": 1, "memory_mib": 1}}
        lines = orjson.dumps(job)[:-1] + b',"payload":{"x":9223372036854775807}}'
        await api.send(lines, "application/x-ndjson", "/v1/commands")
        assert b"9223372036854775807" in bytes((await api.log.read(0, 1))[0].data)


class TestACommandIdInABatch:
    async def test_gives_the_same_answer_when_it_comes_again(self, api: CommandApi) -> None:
        command = {**CREATE, "command_id": "k"}
        assert await results(api, command) == await results(api, command)
        assert await api.log.head() == 2

    async def test_is_the_same_as_the_idempotency_key_of_a_single_command(self, api: CommandApi) -> None:
        fields = {name: value for name, value in CREATE.items() if name != "command"}
        single = await api.post("/v1/agents", fields, idempotency_key="k")
        repeated = (await results(api, {**CREATE, "command_id": "k"}))[0]
        assert {**single.json(), "status": 201} == repeated

    async def test_may_belong_to_a_request_of_its_own(self, api: CommandApi) -> None:
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await results(api, {**CREATE, "command_id": "k", "correlation_id": "req-1", "traceparent": trace})
        origin = await api.origin_of_last()
        assert (origin["command_id"], origin["correlation_id"], origin["traceparent"]) == ("k", "req-1", trace)

    @pytest.mark.parametrize("command_id", ["", "x" * 256, 1, "ä", "a\n", {}])
    async def test_of_a_bad_form_is_refused(self, api: CommandApi, command_id: object) -> None:
        assert (await results(api, {**CREATE, "command_id": command_id}))[0]["errors"][0]["pointer"] == "/command_id"


class TestABatchWithAHeaderOfOneCommand:
    @pytest.mark.parametrize("header", [{"idempotency_key": "k"}, {"foldwork_expected_version": "1"}])
    async def test_is_refused_rather_than_done_twice(self, api: CommandApi, header: dict[str, str]) -> None:
        answer = await api.post("/v1/commands", [CREATE], **header)
        assert (answer.status_code, answer.json()["errors"][0]["in"]) == (422, "header")
        assert await api.log.head() == 0


class TestARequestThatIsNoBatch:
    @pytest.mark.parametrize(
        ("body", "status"), [(b"", 400), (b"{", 400), (b"{}", 422), (b"null", 422), (b"[" * 100_000, 400)]
    )
    async def test_is_refused_as_a_whole(self, api: CommandApi, body: bytes, status: int) -> None:
        assert (await api.send(body, path="/v1/commands")).status_code == status

    async def test_is_refused_for_too_many_commands(self, api: CommandApi) -> None:
        assert (await api.post("/v1/commands", [START] * 21)).status_code == 422
        lines = orjson.dumps(START) + b"\n"
        assert (await api.send(lines * 21, "application/x-ndjson", "/v1/commands")).status_code == 422

    async def test_is_refused_for_its_media_type(self, api: CommandApi) -> None:
        assert (await api.send(b"[]", "text/plain", "/v1/commands")).status_code == 415
