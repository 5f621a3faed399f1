"""One command per request, over HTTP."""

from collections.abc import AsyncIterator

import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api
from write_side.catalog import CATALOG
from write_side.command_route import command_routes

AGENT = {"name": "Ada", "agent_type": "reactive"}


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[CommandApi]:
    async with command_api(settings) as api:
        yield api


class TestTheRoutes:
    def test_follow_from_the_public_commands(self) -> None:
        paths = {route.name: route.path for route in command_routes(CATALOG)}
        assert paths["CreateAgent"] == "/v1/agents"
        assert paths["StartAgent"] == "/v1/agents/{agent_id}/start"
        assert paths["UpdateAgentCapabilities"] == "/v1/agents/{agent_id}/update-capabilities"
        assert paths["RecordTaskStep"] == "/v1/tasks/{task_id}/record-step"
        assert paths["HandOverTask"] == "/v1/tasks/{task_id}/hand-over"
        assert paths["DecideApproval"] == "/v1/approvals/{approval_id}/decide"
        assert paths["HeartbeatNode"] == "/v1/nodes/{node_id}/heartbeat"

    def test_go_without_a_verb_for_a_default_command(self) -> None:
        paths = {route.name: route.paths for route in command_routes(CATALOG)}
        assert paths["DecideApproval"] == ("/v1/approvals/{approval_id}/decide", "/v1/approvals/{approval_id}")
        assert paths["CancelApproval"] == ("/v1/approvals/{approval_id}/cancel",)

    def test_leave_out_what_only_sagas_send(self) -> None:
        assert not {route.name for route in command_routes(CATALOG)} & {"QueueJob", "ReserveNode", "ClaimAgentName"}

    async def test_of_an_internal_command_lead_nowhere(self, api: CommandApi) -> None:
        assert (await api.post("/v1/jobs/j/queue", {"attempt": 1})).status_code == 404

    async def test_are_all_documented_with_their_bodies(self, api: CommandApi) -> None:
        document = (await api.http.get("/openapi.json")).json()
        assert {route.path for route in command_routes(CATALOG)} <= set(document["paths"])
        assert "agent_id" not in document["components"]["schemas"]["StartAgent"]["properties"]
        assert "at" not in document["components"]["schemas"]["FailJob"]["properties"]
        assert "QueueJob" not in str(document)


class TestACreatingCommand:
    async def test_is_answered_with_where_it_is(self, api: CommandApi) -> None:
        answer = await api.post("/v1/agents", {"agent_id": "ada", **AGENT})
        assert answer.status_code == 201
        assert answer.headers["location"] == "/v1/agents/ada"
        assert answer.headers["foldwork-position"] == "2"
        body = answer.json()
        assert (body["stream_id"], body["version"], body["position"]) == ("agent-ada", 1, 2)
        assert body["event_ids"] == [record.id for record in await api.log.read(0, 10)]

    async def test_gets_an_id_if_it_names_none(self, api: CommandApi) -> None:
        assert await api.agent("one") != await api.agent("two")

    async def test_twice_under_one_key_gives_the_same_answer(self, api: CommandApi) -> None:
        first = await api.post("/v1/agents", AGENT, idempotency_key="k")
        again = await api.post("/v1/agents", AGENT, idempotency_key="k")
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["location"] == first.headers["location"]
        assert await api.log.head() == 2

    async def test_with_a_key_that_another_command_has_is_refused(self, api: CommandApi) -> None:
        await api.post("/v1/agents", AGENT, idempotency_key="k")
        answer = await api.post("/v1/agents", {**AGENT, "name": "Eve"}, idempotency_key="k")
        assert answer.json()["type"].endswith("/command-id-reused")

    async def test_may_use_the_key_of_another_tenant(self, api: CommandApi) -> None:
        await api.post("/v1/agents", AGENT, idempotency_key="k")
        answer = await api.post("/v1/agents", AGENT, idempotency_key="k", foldwork_tenant="other")
        assert answer.json()["position"] == 4


class TestACommandForAStream:
    async def test_needs_no_body_if_nothing_else_is_required(self, api: CommandApi) -> None:
        agent = await api.agent()
        answer = await api.http.post(f"/v1/agents/{agent}/start")
        assert (answer.status_code, answer.json()["version"]) == (200, 2)

    async def test_takes_its_fields_from_the_body_and_its_id_from_the_path(self, api: CommandApi) -> None:
        agent = await api.agent()
        await api.post(f"/v1/agents/{agent}/start")
        answer = await api.send(b' \n{ "reason" : "enough" } ', path=f"/v1/agents/{agent}/stop")
        assert answer.status_code == 200
        assert (await api.log.read(3, 1))[0].data == b'{"reason":"enough"}'

    async def test_against_the_rules_is_a_problem_that_says_why(self, api: CommandApi) -> None:
        agent = await api.agent()
        answer = await api.post(f"/v1/agents/{agent}/stop")
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json() == {
            "type": "https://foldwork.dev/problems/agent-not-started",
            "title": "The agent is not started.",
            "status": 409,
            "detail": "The agent is not started.",
            "instance": f"/v1/agents/{agent}/stop",
        }

    async def test_of_an_unknown_thing_is_not_found(self, api: CommandApi) -> None:
        answer = await api.post("/v1/agents/nobody/start")
        assert (answer.status_code, answer.json()["agent_id"]) == (404, "nobody")

    async def test_of_another_tenants_thing_is_not_found(self, api: CommandApi) -> None:
        agent = await api.agent()
        assert (await api.post(f"/v1/agents/{agent}/start", foldwork_tenant="other")).status_code == 404

    async def test_with_the_expected_version_is_carried_out(self, api: CommandApi) -> None:
        agent = await api.agent()
        assert (await api.post(f"/v1/agents/{agent}/start", foldwork_expected_version="1")).status_code == 200

    async def test_with_another_expected_version_is_a_conflict(self, api: CommandApi) -> None:
        agent = await api.agent()
        answer = await api.post(f"/v1/agents/{agent}/start", foldwork_expected_version="7")
        assert (answer.status_code, answer.json()["actual"]) == (409, 1)

    async def test_may_write_whole_numbers_with_a_fraction_of_zero(self, api: CommandApi) -> None:
        answer = await api.send(b'{"name": "n", "cpu_milli": 1000.0, "memory_mib": 16}', path="/v1/nodes")
        assert answer.status_code == 201
        assert b'"cpu_milli":1000,' in bytes((await api.log.read(0, 1))[0].data)


class TestAHeartbeat:
    async def test_is_noted_each_time_but_recorded_only_when_it_changes_something(self, api: CommandApi) -> None:
        await api.post("/v1/nodes", {"node_id": "n", "name": "n", "cpu_milli": 1, "memory_mib": 1})
        first = await api.post("/v1/nodes/n/heartbeat")
        again = await api.post("/v1/nodes/n/heartbeat")
        assert len(first.json()["event_ids"]) == 1
        assert (again.status_code, again.json()["event_ids"]) == (200, [])
        assert api.heard.streams == [("default", "node-n"), ("default", "node-n")]

    async def test_of_an_unknown_node_is_not_noted(self, api: CommandApi) -> None:
        await api.post("/v1/nodes/n/heartbeat")
        assert api.heard.streams == []


class TestWhatIsKnownOfTheSender:
    async def test_is_in_the_events(self, api: CommandApi) -> None:
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await api.agent(
            foldwork_actor="user:ada", foldwork_correlation_id="req-1", idempotency_key="k", traceparent=trace
        )
        origin = await api.origin_of_last()
        assert (origin["actor"], origin["correlation_id"], origin["traceparent"]) == ("user:ada", "req-1", trace)
        assert (origin["command_id"], origin["causation_id"], origin["source"]) == ("k", "k", "http")

    async def test_defaults_to_anonymous_and_a_request_of_its_own(self, api: CommandApi) -> None:
        await api.agent()
        origin = await api.origin_of_last()
        assert origin["actor"] == "anonymous"
        assert origin["command_id"] == origin["correlation_id"] == origin["causation_id"]

    @pytest.mark.parametrize(
        "trace", ["nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-00"]
    )
    async def test_leaves_out_a_malformed_trace(self, api: CommandApi, trace: str) -> None:
        await api.agent(traceparent=trace)
        assert "traceparent" not in await api.origin_of_last()


class TestTheProcess:
    async def test_counts_commands_by_outcome(self, api: CommandApi) -> None:
        agent = await api.agent()
        await api.post(f"/v1/agents/{agent}/stop")
        page = (await api.http.get("/metrics")).text
        assert 'foldwork_commands_total{command="CreateAgent",outcome="accepted"} 1.0' in page
        assert 'foldwork_commands_total{command="StopAgent",outcome="rejected"} 1.0' in page
        assert 'foldwork_http_requests_total{method="POST",route="/v1/agents/{agent_id}/stop",status="409"} 1.0' in page
        assert 'foldwork_queue_depth{queue="commands"} 0.0' in page

    async def test_is_ready_once_the_log_answers(self, api: CommandApi) -> None:
        assert (await api.http.get("/readyz")).status_code == 200
        assert (await api.http.get("/healthz")).json() == {"status": "alive"}

    async def test_shows_its_documentation(self, api: CommandApi) -> None:
        page = await api.http.get("/docs")
        assert page.status_code == 200
        assert "/openapi.json" in page.text
