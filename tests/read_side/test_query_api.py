"""Read models over HTTP, as real projectors keep them in a real database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from events.agent import AgentConfig
from infra.settings import Settings
from projections.catalog import CATALOG as PROJECTIONS
from read_side.api import LISTINGS
from tests.read_side.world import World, system
from write_side.agent import CreateAgent, StartAgent
from write_side.job import SubmitJob
from write_side.node import RegisterNode
from write_side.task import CompleteTask, RecordTaskStep, RequestTask, StartTask
from write_side.workflow import ActivateWorkflow, RegisterWorkflow


@pytest.fixture
async def world(database_url: str, settings: Settings) -> AsyncIterator[World]:
    async with system(database_url, settings) as world:
        yield world


NOT_AS_DOCUMENTED = (
    ("/v1/agents?cursor=x", 400),
    ("/v1/agents?limit=0", 422),
    ("/v1/agents?limit=1001", 422),
    ("/v1/agents?status=odd", 422),
    ("/v1/agents?other=1", 422),
    ("/v1/agents?name=%00", 422),
    ("/v1/nodes?draining=yes", 422),
    ("/v1/jobs?priority=x", 422),
    ("/v1/agents/a1?limit=1", 422),
    ("/v1/summaries/jobs?limit=1", 422),
    ("/v1/projections?limit=1", 422),
)


def agent(number: int, **fields: Any) -> CreateAgent:
    return CreateAgent(agent_id=f"a{number}", name=f"agent {number}", agent_type=fields.get("agent_type", "reactive"))


def node(number: int, **fields: Any) -> RegisterNode:
    return RegisterNode(node_id=f"n{number}", name=f"n{number}", cpu_milli=1_000, memory_mib=512, **fields)


def job(number: int, **fields: Any) -> SubmitJob:
    return SubmitJob(job_id=f"j{number}", requirements={"cpu_milli": 100, "memory_mib": 1}, **{"kind": "k", **fields})


class TestARow:
    async def test_is_what_the_events_led_to(self, world: World) -> None:
        await world.do(agent(1), StartAgent(agent_id="a1"))
        found = await world.ask("/v1/agents/a1")
        assert (found["name"], found["status"], found["version"], found["tenant_id"]) == (
            "agent 1",
            "started",
            2,
            "default",
        )
        assert found["config"] == {"prompts": {}, "tools": [], "memory": {}, "model_preferences": []}

    async def test_of_nothing_is_not_found(self, world: World) -> None:
        assert (await world.ask("/v1/agents/a1", status=404))["type"].endswith("/agent-unknown")

    async def test_of_another_tenant_is_not_found(self, world: World) -> None:
        await world.do(agent(1))
        await world.ask("/v1/agents/a1", tenant="other", status=404)

    @pytest.mark.parametrize("entity", ["%00", "-x", "x" * 129, "a%20b"])
    async def test_with_a_bad_id_is_refused(self, world: World, entity: str) -> None:
        assert (await world.http.get(f"/v1/jobs/{entity}")).status_code == 422


class TestAList:
    async def test_can_be_read_page_by_page(self, world: World) -> None:
        await world.do(*(agent(number) for number in range(5)))
        found: list[str] = []
        path = "/v1/agents?limit=2"
        for _ in range(3):
            page = await world.ask(path)
            found.extend(row["agent_id"] for row in page["data"])
            path = f"/v1/agents?limit=2&cursor={page['next_cursor']}"
        assert (found, page["next_cursor"]) == (["a0", "a1", "a2", "a3", "a4"], None)

    async def test_has_no_next_page_when_the_last_is_just_full(self, world: World) -> None:
        await world.do(agent(1), agent(2))
        assert (await world.ask("/v1/agents?limit=2"))["next_cursor"] is None

    async def test_holds_only_what_is_a_tenants_own(self, world: World) -> None:
        await world.do(agent(1))
        await world.do(agent(2), tenant="other")
        assert [row["agent_id"] for row in (await world.ask("/v1/agents", tenant="other"))["data"]] == ["a2"]

    async def test_can_be_filtered(self, world: World) -> None:
        await world.do(agent(1), agent(2, agent_type="autonomous"), agent(3), StartAgent(agent_id="a3"))
        for query, expected in (
            ("status=started", ["a3"]),
            ("agent_type=reactive", ["a1", "a3"]),
            ("agent_type=reactive&status=created", ["a1"]),
            ("name=agent%202", ["a2"]),
            ("name=", []),
        ):
            page = await world.ask(f"/v1/agents?{query}")
            assert [row["agent_id"] for row in page["data"]] == expected, query

    async def test_can_be_filtered_by_numbers_and_truth_values(self, world: World) -> None:
        await world.do(node(1), job(1, priority=3), job(2, priority=4))
        assert [row["job_id"] for row in (await world.ask("/v1/jobs?priority=4&status=queued"))["data"]] == ["j2"]
        assert [row["node_id"] for row in (await world.ask("/v1/nodes?over_capacity=false"))["data"]] == ["n1"]
        assert (await world.ask("/v1/nodes?draining=true"))["data"] == []

    async def test_takes_a_cursor_only_with_the_filters_it_was_given_for(self, world: World) -> None:
        await world.do(agent(1), agent(2), agent(3))
        cursor = (await world.ask("/v1/agents?limit=1&agent_type=reactive"))["next_cursor"]
        assert len((await world.ask(f"/v1/agents?limit=5&agent_type=reactive&cursor={cursor}"))["data"]) == 2
        await world.ask(f"/v1/agents?limit=1&cursor={cursor}", status=404)
        await world.ask(f"/v1/agents?limit=1&agent_type=reactive&cursor={cursor}", tenant="other", status=404)
        await world.ask(f"/v1/agents?limit=1&agent_type=reactive&cursor={cursor[:-1]}", status=404)

    @pytest.mark.parametrize(("path", "status"), NOT_AS_DOCUMENTED)
    async def test_is_refused_for_a_query_that_is_not_as_documented(self, world: World, path: str, status: int) -> None:
        assert (await world.http.get(path)).status_code == status

    def test_filters_by_columns_that_have_an_index_or_hold_few_values(self) -> None:
        for listing in LISTINGS:
            indexed = {column for index in listing.projection.indexes for column in index[1:2]}
            assert set(listing.filters) - indexed <= {"draining", "over_capacity"}


class TestATimeline:
    async def test_tells_what_happened_in_order(self, world: World) -> None:
        steps = [
            RecordTaskStep(task_id="t", step={"kind": "message", "role": "user", "content": str(n)}) for n in range(3)
        ]
        await world.do(agent(1), RequestTask(task_id="t", agent_id="a1", title="Think"), StartTask(task_id="t"), *steps)
        await world.do(CompleteTask(task_id="t", result=42))
        page = await world.ask("/v1/tasks/t/timeline?limit=4")
        rest = await world.ask(f"/v1/tasks/t/timeline?limit=10&cursor={page['next_cursor']}")
        rows = page["data"] + rest["data"]
        assert [row["stream_version"] for row in rows] == list(range(1, 8))
        assert [row["content"] for row in rows if row["kind"] == "message"] == ["0", "1", "2"]
        assert rows[-1]["detail"] == {"result": 42}

    async def test_of_no_task_is_not_found(self, world: World) -> None:
        await world.ask("/v1/tasks/t/timeline", status=404)


def workflow(name: str, version: str) -> RegisterWorkflow:
    document = {"dsl": "1.0.3", "namespace": "travel", "name": name, "version": version}
    return RegisterWorkflow(definition={"document": document, "do": [{"wait": {"wait": {"seconds": 1}}}]})


class TestANumberOfAUser:
    @pytest.mark.parametrize("number", [1e19, -1e20, 1e308, 5e-324, 2**63 - 1, -(2**63), 0.1])
    async def test_comes_back_as_it_was_sent(self, world: World, number: float) -> None:
        """Postgres writes 1e20 with all its digits, and no whole number of ours has so many."""
        config = AgentConfig(memory={"x": number})
        create = CreateAgent(agent_id="a", name="Ada", agent_type="reactive", config=config)
        await world.do(create)
        for path in ("/v1/agents/a", "/v1/agents"):
            found = await world.ask(path)
            assert found.get("data", [found])[0]["config"]["memory"] == {"x": number}


class TestAWorkflow:
    async def test_shows_its_versions_and_each_definition(self, world: World) -> None:
        await world.do(workflow("book", "1.0.0"), workflow("book", "1.1.0"), workflow("cancel", "1.0.0"))
        await world.do(ActivateWorkflow(workflow_id="travel.book", workflow_version="1.1.0"))
        found = await world.ask("/v1/workflows/travel.book")
        assert found["active_version"] == "1.1.0"
        assert [(each["workflow_version"], each["status"]) for each in found["versions"]] == [
            ("1.0.0", "registered"),
            ("1.1.0", "active"),
        ]
        definitions = (await world.ask("/v1/workflows/travel.book/definitions"))["data"]
        assert [each["definition"] for each in definitions] == [
            workflow("book", version).definition for version in ("1.0.0", "1.1.0")
        ]
        page = await world.ask("/v1/workflows?name=cancel&namespace=travel")
        assert [row["workflow_id"] for row in page["data"]] == ["travel.cancel"]

    async def test_shows_definitions_in_the_order_in_which_they_came(self, world: World) -> None:
        versions = ["1.9.0", "1.10.0", "1.2.0"]
        await world.do(*(workflow("book", version) for version in versions))
        page = await world.ask("/v1/workflows/travel.book/definitions?limit=2")
        rest = await world.ask(f"/v1/workflows/travel.book/definitions?limit=2&cursor={page['next_cursor']}")
        assert [each["workflow_version"] for each in page["data"] + rest["data"]] == versions


class TestTheSummaries:
    async def test_count_and_sum(self, world: World) -> None:
        await world.do(agent(1), agent(2), StartAgent(agent_id="a2"), node(1), job(1, priority=3), job(2, priority=3))
        await world.do(RequestTask(task_id="t", agent_id="a2", title="Think"))
        assert (await world.ask("/v1/summaries/agents"))["by_status"] == {"created": 1, "started": 1}
        assert (await world.ask("/v1/summaries/tasks"))["by_status"] == {"assigned": 1}
        assert (await world.ask("/v1/summaries/nodes"))["cpu_milli"] == 1_000
        assert (await world.ask("/v1/summaries/jobs"))["queued_by_priority"] == {"3": 2}

    async def test_of_nothing_are_zero(self, world: World) -> None:
        for name in ("agents", "tasks", "nodes", "jobs", "runs"):
            assert (await world.ask(f"/v1/summaries/{name}"))["by_status"] == {}


class TestTheProjections:
    async def test_tell_how_far_they_are(self, world: World) -> None:
        await world.do(agent(1))
        found = (await world.ask("/v1/projections"))["data"]
        assert {each["name"] for each in found} == {projection.name for projection in PROJECTIONS}
        assert {(each["position"], each["lag"], each["paused"]) for each in found} == {(2, 0, False)}


class TestAQueryForAPosition:
    async def test_is_refused_at_once_if_the_log_has_not_come_to_it(self, world: World) -> None:
        answer = await world.http.get("/v1/agents", headers={"foldwork-min-position": "100"})
        assert (answer.status_code, answer.json()["type"].split("/")[-1]) == (409, "position-not-reached")

    async def test_is_told_to_ask_again_if_the_model_does_not_come_to_it_in_time(
        self, database_url: str, settings: Settings
    ) -> None:
        hasty = settings.model_copy(update={"wait_for_position_s_max": 0.05})
        async with system(database_url, hasty, projecting=False) as world:
            await world.do(agent(1))
            answer = await world.http.get("/v1/agents", headers={"foldwork-min-position": "2"})
            assert (answer.status_code, answer.headers["retry-after"]) == (504, "1")

    async def test_is_answered_from_an_empty_model_if_there_is_none_yet(
        self, database_url: str, settings: Settings
    ) -> None:
        async with system(database_url, settings, projecting=False) as world:
            answer = await world.http.get("/v1/agents")
            assert (answer.json(), answer.headers["foldwork-position"]) == ({"data": [], "next_cursor": None}, "0")
            found = (await world.ask("/v1/projections"))["data"]
            assert {(each["position"], each["lag"]) for each in found} == {(0, 0)}
