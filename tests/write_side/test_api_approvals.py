"""Approvals over HTTP: who decides is who sends the command."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api

APPROVAL = {"approval_id": "p", "title": "Pay", "people": ["ada", "bob"], "groups": ["travel desk"]}
PATH = "/v1/approvals/p"
APPROVE = {"decision": "approve"}


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[CommandApi]:
    async with command_api(settings) as api:
        yield api


async def requested(api: CommandApi, **fields: Any) -> None:
    answer = await api.post("/v1/approvals", {**APPROVAL, **fields}, foldwork_actor="carol")
    assert (answer.status_code, answer.headers["location"]) == (201, PATH), answer.text


async def problem(api: CommandApi, path: str, fields: Any, **headers: str) -> tuple[int, str]:
    answer = await api.post(path, fields, **headers)
    return answer.status_code, answer.json().get("type", "").rpartition("/")[2]


async def last(api: CommandApi) -> Any:
    return orjson.loads((await api.log.read(0, 100))[-1].data)


class TestADecision:
    @pytest.mark.parametrize("path", [PATH, f"{PATH}/decide"])
    async def test_is_of_whoever_sends_it(self, api: CommandApi, path: str) -> None:
        await requested(api)
        answer = await api.post(path, {**APPROVE, "answer": [1, None]}, foldwork_actor="ada")
        assert (answer.status_code, answer.json()["version"]) == (200, 3), answer.text
        assert await last(api) == {"answers": [{"actor": "ada", "answer": [1, None]}]}

    async def test_counts_groups_of_the_sender(self, api: CommandApi) -> None:
        await requested(api)
        assert await problem(api, PATH, APPROVE, foldwork_actor="eve") == (409, "not-asked-to-approve")
        groups = {"foldwork_actor": "eve", "foldwork_groups": "staff, travel desk"}
        assert (await api.post(PATH, APPROVE, **groups)).status_code == 200

    async def test_is_refused_on_the_senders_own_request(self, api: CommandApi) -> None:
        await requested(api, people=["ada", "carol"])
        assert await problem(api, PATH, APPROVE, foldwork_actor="carol") == (409, "own-approval")
        assert await problem(api, "/v1/approvals", {"title": "t", "people": ["anonymous"]}) == (
            422,
            "too-few-to-approve",
        )

    async def test_is_refused_where_it_does_not_fit_the_form(self, api: CommandApi) -> None:
        await requested(api, form={"type": "object", "properties": {"budget": {"type": "integer"}}})
        fields = {**APPROVE, "answer": {"budget": "much"}}
        answer = await api.post(PATH, fields, foldwork_actor="ada")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/answer")
        assert "/budget" in answer.json()["errors"][0]["detail"]

    @pytest.mark.parametrize("field", [{"actor": "ada"}, {"groups_of_actor": ["travel desk"]}], ids=str)
    async def test_takes_its_sender_from_no_body(self, api: CommandApi, field: dict[str, Any]) -> None:
        await requested(api)
        answer = await api.post(PATH, {**APPROVE, **field}, foldwork_actor="eve")
        assert answer.json()["errors"] == [{"pointer": f"/{next(iter(field))}", "detail": "there is no such field"}]
        command = {"command": "DecideApproval", "approval_id": "p", **APPROVE, **field}
        (result,) = (await api.post("/v1/commands", [command], foldwork_actor="eve")).json()["results"]
        assert result["status"] == 422

    async def test_under_one_key_is_the_same_only_from_the_same_sender(self, api: CommandApi) -> None:
        await requested(api, approvals_needed=2)
        first = await api.post(PATH, APPROVE, foldwork_actor="ada", idempotency_key="k")
        again = await api.post(PATH, APPROVE, foldwork_actor="ada", idempotency_key="k")
        assert (again.status_code, again.content) == (200, first.content)
        other = await problem(api, PATH, APPROVE, foldwork_actor="bob", idempotency_key="k")
        assert other == (422, "command-id-reused")

    async def test_may_come_with_others(self, api: CommandApi) -> None:
        commands = [
            {"command": "RequestApproval", **APPROVAL},
            {"command": "DecideApproval", "approval_id": "p", **APPROVE},
        ]
        headers = {"foldwork_actor": "eve", "foldwork_groups": "travel desk"}
        results = (await api.post("/v1/commands", commands, **headers)).json()["results"]
        assert [result["status"] for result in results] == [201, 409]
        assert results[1]["type"].endswith("/own-approval")
        results = (await api.post("/v1/commands", commands, **{**headers, "foldwork_actor": "dan"})).json()["results"]
        assert [result["status"] for result in results] == [409, 200]


class TestTheDocument:
    async def test_shows_both_paths_of_a_decision_and_its_headers(self, api: CommandApi) -> None:
        document = (await api.http.get("/openapi.json")).json()
        for path in ("/v1/approvals/{approval_id}", "/v1/approvals/{approval_id}/decide", "/v1/commands"):
            names = {each["name"] for each in document["paths"][path]["post"]["parameters"]}
            assert "Foldwork-Groups" in names, path
        names = {each["name"] for each in document["paths"]["/v1/agents"]["post"]["parameters"]}
        assert "Foldwork-Groups" not in names
        properties = document["components"]["schemas"]["DecideApproval"]["properties"]
        assert set(properties) == {"decision", "answer", "comment"}
