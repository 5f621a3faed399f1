"""CloudEvents over HTTP."""

from collections.abc import AsyncIterator

import orjson
import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api

PATH = "/v1/messages"
EVENT = {"specversion": "1.0", "id": "17", "source": "/shop", "type": "order.paid", "data": {"a": None}, "sequence": 1}


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[CommandApi]:
    async with command_api(settings) as api:
        yield api


class TestAnEvent:
    @pytest.mark.parametrize("media_type", ["application/json", "application/cloudevents+json; charset=utf-8"])
    async def test_is_published(self, api: CommandApi, media_type: str) -> None:
        answer = await api.send(orjson.dumps(EVENT), media_type, PATH)
        assert answer.status_code == 201, answer.text
        (record,) = await api.log.read(0, 10)
        assert (record.type, record.stream_id) == ("message.published", answer.json()["stream_id"])
        assert orjson.loads(record.data) == {
            "event_id": "17",
            "source": "/shop",
            "event_type": "order.paid",
            "data": {"a": None},
            "extensions": {"sequence": 1},
        }

    async def test_is_published_once(self, api: CommandApi) -> None:
        first, again = await api.post(PATH, EVENT), await api.post(PATH, EVENT)
        assert (again.status_code, again.json()["version"], again.json()["event_ids"]) == (201, 1, [])
        assert again.headers["location"] == first.headers["location"]
        assert await api.log.head() == 1

    async def test_is_refused_if_it_is_another_under_the_same_id(self, api: CommandApi) -> None:
        await api.post(PATH, EVENT)
        answer = await api.post(PATH, {**EVENT, "data": 2})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "message-id-taken")

    async def test_of_another_tenant_is_another(self, api: CommandApi) -> None:
        await api.post(PATH, EVENT)
        await api.post(PATH, {**EVENT, "data": 2}, foldwork_tenant="other")
        assert await api.log.head() == 2

    async def test_may_come_with_others(self, api: CommandApi) -> None:
        commands = [{"command": "PublishMessage", "event": {**EVENT, "id": id_}} for id_ in ("1", "2", "1")]
        results = (await api.post("/v1/commands", commands)).json()["results"]
        assert [result["status"] for result in results] == [201] * 3
        assert await api.log.head() == 2


class TestABadEvent:
    @pytest.mark.parametrize(
        ("event", "pointer"),
        [
            ({**EVENT, "id": ""}, "/id"),
            ({**EVENT, "time": "now"}, "/time"),
            ({**EVENT, "sequence": 1.5}, "/sequence"),
            ({**EVENT, "Sequence": 1}, ""),
            ({**EVENT, "data_base64": "AQI="}, "/data_base64"),
            ([], ""),
        ],
        ids=str,
    )
    async def test_is_told_where_it_is_bad(self, api: CommandApi, event: object, pointer: str) -> None:
        answer = await api.send(orjson.dumps(event), path=PATH)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        assert await api.log.head() == 0

    async def test_is_refused_for_its_media_type(self, api: CommandApi) -> None:
        for media_type in ("application/yaml", "application/cloudevents-batch+json"):
            assert (await api.send(orjson.dumps(EVENT), media_type, PATH)).status_code == 415
