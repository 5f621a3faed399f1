"""Whatever is sent to the command API: a problem of the 4xx kind, nothing recorded, nothing logged as a breakdown."""

import logging
from collections.abc import AsyncIterator

import pytest

from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api

GOOD = b'{"name":"Ada","agent_type":"reactive"}'


@pytest.fixture
async def api(settings: Settings, caplog: pytest.LogCaptureFixture) -> AsyncIterator[CommandApi]:
    """Checks afterwards that nothing was recorded or logged."""
    async with command_api(settings.model_copy(update={"body_bytes_max": 200_000})) as api:
        yield api
        assert await api.log.head() == 0
        assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


def nested(opening: bytes, closing: bytes, levels: int) -> bytes:
    job = b'{"kind":"k","requirements":{"cpu_milli":1,"memory_mib":1},"payload":{"deep":'
    return job + opening * levels + b"1" + closing * levels + b"}}"


NOT_JSON = (
    b"",
    b"{",
    b"{,}",
    b"nonsense",
    b"{'name': 'Ada'}",
    GOOD + b"}",
    GOOD + b" x",
    b"\xff\xfe",
    b"\xef\xbb\xbf" + GOOD,
    b'{"name":"\\ud800","agent_type":"reactive"}',
    b'{"name":"\x01","agent_type":"reactive"}',
    b'{"name":"\xed\xa0\x80"}',
    b'{"name":' + b"9" * 5_000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 30_000,
)


class TestABodyThatIsNotJson:
    @pytest.mark.parametrize("body", NOT_JSON)
    async def test_is_malformed(self, api: CommandApi, body: bytes) -> None:
        answer = await api.send(body)
        assert answer.status_code == 400
        assert answer.json()["type"] == "https://foldwork.dev/problems/malformed"

    @pytest.mark.parametrize("body", [b"{", b"{,}", b'{"reason":"x",}', b"{}}", b'{"reason":"x"', b"[" * 100_000])
    async def test_is_malformed_also_when_the_id_is_in_the_path(self, api: CommandApi, body: bytes) -> None:
        assert (await api.send(body, path="/v1/agents/a/stop")).status_code == 400

    async def test_is_told_where_in_what_was_sent_it_breaks_off(self, api: CommandApi) -> None:
        answer = await api.send(b'{"reason" "x"}', path="/v1/agents/a/stop")
        assert answer.json()["detail"].endswith("at line 1 column 11")


class TestABodyThatIsNotACommand:
    @pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"[{}]"])
    async def test_is_invalid(self, api: CommandApi, body: bytes) -> None:
        for path in ("/v1/agents", "/v1/agents/a/stop"):
            answer = await api.send(body, path=path)
            assert (answer.status_code, answer.json()["errors"]) == (
                422,
                [{"pointer": "", "detail": "must be an object"}],
            )

    async def test_is_told_each_field_that_is_wrong(self, api: CommandApi) -> None:
        answer = await api.post("/v1/agents", {"agent_type": "lazy", "config": {"tools": [1]}, "surprise": 1})
        assert answer.status_code == 422
        found = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
        assert set(found) == {"/name", "/agent_type", "/config/tools/0", "/surprise"}
        assert found["/name"] == "is required"
        assert found["/surprise"] == "there is no such field"

    async def test_is_told_nothing_of_fields_that_only_follow_from_those(self, api: CommandApi) -> None:
        job = {"kind": "k", "requirements": {"cpu_milli": 0, "memory_mib": 1}}
        answer = await api.post("/v1/jobs", job)
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/requirements/cpu_milli"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("cpu_milli", value) for value in (0, -1, 10**30, 1.5, "100", True, None, [], 1e300)]
        + [("name", value) for value in ("", " ", "x" * 201, "a\0b", 1, None)]
        + [("labels", value) for value in ({"": "x"}, {"a": 1}, {"a\0": "b"}, [])]
        + [("node_id", value) for value in ("", "-a", "a b", "a/b", "x" * 129, "a\n", 1)],
    )
    async def test_is_invalid_for_a_single_bad_field(self, api: CommandApi, field: str, value: object) -> None:
        node = {"name": "n", "cpu_milli": 1, "memory_mib": 1, field: value}
        answer = await api.post("/v1/nodes", node)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")

    @pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e400", b'"\\u0000"', b'{"\\u0000":1}'])
    async def test_is_invalid_for_values_that_cannot_be_kept(self, api: CommandApi, value: bytes) -> None:
        job = b'{"kind":"k","requirements":{"cpu_milli":1,"memory_mib":1},"payload":{"x":' + value + b"}}"
        assert (await api.send(job, path="/v1/jobs")).status_code in (400, 422)

    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    @pytest.mark.parametrize("levels", [40, 150, 250, 10_000])
    async def test_is_refused_when_nested_too_deep(
        self, api: CommandApi, opening: bytes, closing: bytes, levels: int
    ) -> None:
        assert (await api.send(nested(opening, closing, levels), path="/v1/jobs")).status_code in (400, 422)

    async def test_with_thousands_of_errors_gets_a_short_answer(self, api: CommandApi) -> None:
        body = b'{"name":"a","agent_type":"reactive",' + b",".join(b'"f%d":1' % i for i in range(15_000)) + b"}"
        answer = await api.send(body)
        assert answer.status_code == 422
        assert len(answer.content) < 1_000

    @pytest.mark.parametrize("field", [b'"at":"2026-01-01T00:00:00Z"', b'"\\u0061t":"2026-01-01T00:00:00Z"'])
    async def test_may_not_say_what_the_server_fills(self, api: CommandApi, field: bytes) -> None:
        answer = await api.send(b'{"attempt":1,"error":"e",' + field + b"}", path="/v1/jobs/j/fail")
        assert answer.json()["errors"] == [{"pointer": "/at", "detail": "there is no such field"}]

    @pytest.mark.parametrize("field", [b'"agent_id":"b"', b'"agent_id":"a"', b'"agent_\\u0069d":"b"'])
    async def test_may_not_name_the_id_that_the_path_has(self, api: CommandApi, field: bytes) -> None:
        answer = await api.send(b'{"reason":"r",' + field + b"}", path="/v1/agents/a/stop")
        assert answer.json()["errors"] == [{"pointer": "/agent_id", "detail": "there is no such field"}]

    async def test_may_hold_the_name_of_the_id_elsewhere(self, api: CommandApi) -> None:
        answer = await api.send(b'{"reason":"\\"agent_id\\""}', path="/v1/agents/a/stop")
        assert answer.status_code == 404


class TestABodyThatIsTooLarge:
    async def test_is_refused(self, api: CommandApi) -> None:
        answer = await api.send(b'{"name":"' + b"x" * 200_000 + b'"}')
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")

    async def test_is_refused_when_its_length_is_not_announced(self, api: CommandApi) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b" " * 10_000

        headers = {"content-type": "application/json"}
        assert (await api.http.post("/v1/agents", content=chunks(), headers=headers)).status_code == 413


class TestABodyOfAnotherMediaType:
    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "json"]
    )
    async def test_is_refused(self, api: CommandApi, media_type: str) -> None:
        assert (await api.send(GOOD, media_type)).status_code == 415

    async def test_is_taken_if_it_only_names_a_charset(self, api: CommandApi) -> None:
        assert (await api.send(b"{", "Application/JSON; charset=utf-8")).status_code == 400


class TestAPath:
    @pytest.mark.parametrize(
        "path", ["/", "", "/v1", "/v1/agents/", "/v1/agents/a", "/v1/agents/a/start/", "/v1/agents/a/fly", "//"]
    )
    async def test_that_leads_nowhere_is_not_found(self, api: CommandApi, path: str) -> None:
        assert (await api.http.post(path, json={})).status_code == 404

    @pytest.mark.parametrize("agent", ["%00", "a%20b", "-a", "x" * 129, "%F0%9F%92%A9", "a%0A", "%FF"])
    async def test_with_a_bad_id_is_invalid(self, api: CommandApi, agent: str) -> None:
        answer = await api.http.post(f"/v1/agents/{agent}/start")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "agent_id"

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
    async def test_does_not_take_other_methods(self, api: CommandApi, method: str) -> None:
        answer = await api.http.request(method, "/v1/agents")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    async def test_takes_no_query(self, api: CommandApi) -> None:
        assert (await api.post("/v1/agents?dry_run=1", {"name": "a", "agent_type": "reactive"})).status_code == 422


class TestAHeader:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("foldwork-tenant", value) for value in ("", "Upper", "-a", "a" * 64, "a_b", "ä", "../x")]
        + [("idempotency-key", value) for value in ("", "x" * 256, "a\tb", "ä")]
        + [("foldwork-expected-version", value) for value in ("", "-1", "1.0", "x", "9" * 30, "+1", "01")]
        + [("foldwork-actor", value) for value in ("", "a b", "x" * 201)]
        + [("foldwork-groups", value) for value in ("", ",", "a,", "a,,b", "-a", "ä", "x" * 101, ",".join(["g"] * 101))]
        + [("foldwork-correlation-id", value) for value in ("", "x" * 256)],
    )
    async def test_of_a_bad_form_is_invalid(self, api: CommandApi, name: str, value: str) -> None:
        headers = {"content-type": "application/json", name: value.encode("utf-8")}
        answer = await api.http.post("/v1/approvals", content=b'{"title":"t","people":["ada"]}', headers=headers)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"].lower() == name
