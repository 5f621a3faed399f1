"""A command whose body is a document with a form of its own, over HTTP: a workflow's definition as YAML or JSON."""

from collections.abc import AsyncIterator

import orjson
import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api
from write_side.definition.digest import digest

PATH = "/v1/workflows"
YAML = b"""
document: {dsl: 1.0.3, namespace: travel, name: book, version: 1.0.0}
do:
  - greet:
      set: {on: yes, at: 2026-01-01}
"""
DEFINITION = {
    "document": {"dsl": "1.0.3", "namespace": "travel", "name": "book", "version": "1.0.0"},
    "do": [{"greet": {"set": {"on": "yes", "at": "2026-01-01"}}}],
}


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[CommandApi]:
    async with command_api(settings) as api:
        yield api


class TestADefinition:
    @pytest.mark.parametrize("content_type", ["application/yaml", "text/yaml; charset=utf-8", "application/x-yaml"])
    async def test_may_be_yaml(self, api: CommandApi, content_type: str) -> None:
        answer = await api.send(YAML, content_type, PATH)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == "/v1/workflows/travel.book"
        (record,) = await api.log.read(0, 10)
        assert record.type == "workflow.registered"
        assert orjson.loads(record.data)["definition"] == DEFINITION
        assert orjson.loads(record.data)["digest"] == digest(DEFINITION)

    async def test_is_the_same_as_json(self, api: CommandApi) -> None:
        first = await api.send(YAML, "application/yaml", PATH)
        again = await api.post(PATH, DEFINITION)
        assert (again.status_code, again.json()["version"]) == (201, first.json()["version"])
        assert len(await api.log.read(0, 10)) == 1

    async def test_may_come_with_others(self, api: CommandApi) -> None:
        commands = [
            {"command": "RegisterWorkflow", "definition": DEFINITION},
            {"command": "ActivateWorkflow", "workflow_id": "travel.book", "workflow_version": "1.0.0"},
        ]
        results = (await api.post("/v1/commands", commands)).json()["results"]
        assert [result["status"] for result in results] == [201, 200]
        assert [record.type for record in await api.log.read(0, 10)] == ["workflow.registered", "workflow.activated"]

    async def test_is_activated_and_deprecated_by_its_version(self, api: CommandApi) -> None:
        await api.send(YAML, "application/yaml", PATH)
        for verb in ("activate", "deprecate"):
            answer = await api.post(f"{PATH}/travel.book/{verb}", {"workflow_version": "1.0.0"})
            assert answer.status_code == 200, answer.text
        answer = await api.post(f"{PATH}/travel.book/activate", {"workflow_version": "1.0.0"})
        assert answer.json()["type"].endswith("/workflow-version-is-deprecated")


class TestABadDefinition:
    @pytest.mark.parametrize(
        ("content", "content_type", "status", "problem"),
        [
            (b"do: [", "application/yaml", 400, "malformed"),
            (b"{", "application/json", 400, "malformed"),
            (b"a: &a [1, 2]\nb: *c", "application/yaml", 400, "malformed"),
            (b"!!python/object/apply:os.system [id]", "application/yaml", 400, "malformed"),
            (b"just text", "application/yaml", 422, "invalid-fields"),
            (b"[]", "application/json", 422, "invalid-fields"),
            (YAML, "text/plain", 415, "unsupported-media-type"),
            (b"do: []", "application/yaml", 422, "invalid-definition"),
            (YAML.replace(b"set:", b"sett:"), "application/yaml", 422, "invalid-definition"),
            (YAML.replace(b"1.0.3", b"2.0.0"), "application/yaml", 422, "invalid-definition"),
            (b"", "application/yaml", 400, "malformed"),
        ],
    )
    async def test_is_refused_with_the_reason(
        self, api: CommandApi, content: bytes, content_type: str, status: int, problem: str
    ) -> None:
        answer = await api.send(content, content_type, PATH)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, problem), answer.text
        assert await api.log.read(0, 10) == []

    async def test_is_told_where_it_is_bad(self, api: CommandApi) -> None:
        answer = await api.send(YAML.replace(b"set: {on", b"then: {on"), "application/yaml", PATH)
        assert {error["pointer"].split("/")[1] for error in answer.json()["errors"]} == {"do"}

    async def test_does_not_change_a_version(self, api: CommandApi) -> None:
        await api.send(YAML, "application/yaml", PATH)
        answer = await api.send(YAML.replace(b"yes", b"no"), "application/yaml", PATH)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "workflow-version-taken")

    async def test_of_a_bomb_is_refused_in_no_time(self, api: CommandApi) -> None:
        levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))
        answer = await api.send(f"a0: &a0 [x]\n{levels}".encode(), "application/yaml", PATH)
        assert answer.status_code == 400
