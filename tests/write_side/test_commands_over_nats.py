"""Commands over NATS: the same answers as over HTTP, on the real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import nats
import orjson
import pytest
from nats.aio.client import Client

from infra.cancellation import end
from infra.embedded.nats import EmbeddedNats
from infra.settings import Settings
from tests.write_side.api_client import CommandApi, command_api
from write_side.catalog import CATALOG
from write_side.command_route import command_routes
from write_side.commands_over_nats import CommandsOverNats

AGENT = {"name": "Ada", "agent_type": "reactive"}
ANSWER_S_MAX = 5.0
PROCESSES = 2


class Answered:
    """A reply."""

    def __init__(self, message: Any) -> None:
        self.headers: dict[str, str] = message.headers
        self.status = int(message.headers["Foldwork-Status"])
        self.body: Any = orjson.loads(message.data)

    @property
    def problem(self) -> tuple[int, str]:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        return self.status, self.body["type"].rpartition("/")[2]


class Edge:
    """A client of the edge, and the API behind it."""

    def __init__(self, client: Client, api: CommandApi) -> None:
        self.client, self.api = client, api

    async def ask(self, subject: str, body: Any = None, **headers: str) -> Answered:
        payload = body if isinstance(body, bytes) else orjson.dumps({} if body is None else body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        message = await self.client.request(subject, payload, timeout=ANSWER_S_MAX, headers=named or None)
        return Answered(message)


@asynccontextmanager
async def serving(url: str, settings: Settings, processes: int = 1) -> AsyncIterator[Edge]:
    async with command_api(settings) as api:
        tasks = [asyncio.create_task(CommandsOverNats(api.edge, url, settings).run()) for _ in range(processes)]
        client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=1)
        try:
            edge = Edge(client, api)
            async with asyncio.timeout(ANSWER_S_MAX):
                while True:
                    try:
                        await edge.ask("cmd.acme.Nothing")
                        break
                    except nats.errors.NoRespondersError:
                        await asyncio.sleep(0.01)
            yield edge
        finally:
            await client.close()
            await end(*tasks)


@pytest.fixture
async def edge(embedded_nats: EmbeddedNats, settings: Settings) -> AsyncIterator[Edge]:
    async with serving(embedded_nats.url, settings) as edge:
        yield edge


class TestACommandOverNats:
    async def test_is_answered_as_over_http(self, edge: Edge) -> None:
        over_nats = await edge.ask("cmd.default.CreateAgent", {**AGENT, "agent_id": "a"}, Idempotency_Key="k")
        over_http = await edge.api.post("/v1/agents", {**AGENT, "agent_id": "a"}, idempotency_key="k")
        assert (over_nats.status, over_nats.body) == (201, over_http.json())
        assert over_nats.headers["Foldwork-Position"] == over_http.headers["Foldwork-Position"]
        assert over_nats.headers["Location"] == over_http.headers["Location"] == "/v1/agents/a"

    async def test_has_the_id_in_the_body_and_the_tenant_in_the_subject(self, edge: Edge) -> None:
        await edge.ask("cmd.acme.CreateAgent", {**AGENT, "agent_id": "a"})
        started = await edge.ask("cmd.acme.StartAgent", {"agent_id": "a"}, Foldwork_Tenant="other")
        assert (started.status, started.body["version"]) == (200, 2)
        assert (await edge.ask("cmd.other.StartAgent", {"agent_id": "a"})).problem == (404, "agent-unknown")

    async def test_honours_the_headers(self, edge: Edge) -> None:
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await edge.ask("cmd.acme.CreateAgent", {**AGENT, "agent_id": "a"}, foldwork_actor="agent:a", traceparent=trace)
        origin = await edge.api.origin_of_last()
        assert (origin["actor"], origin["traceparent"], origin["source"]) == ("agent:a", trace, "nats")
        late = await edge.ask("cmd.acme.StartAgent", {"agent_id": "a"}, Foldwork_Expected_Version="7")
        assert late.problem == (409, "version-conflict")
        bad = await edge.ask("cmd.acme.StartAgent", {"agent_id": "a"}, Foldwork_Expected_Version="x")
        assert bad.problem == (422, "invalid-fields")

    async def test_under_the_same_id_takes_effect_once(self, edge: Edge) -> None:
        first = await edge.ask("cmd.acme.CreateAgent", AGENT | {"agent_id": "a"}, Idempotency_Key="k")
        again = await edge.ask("cmd.acme.CreateAgent", AGENT | {"agent_id": "a"}, Idempotency_Key="k")
        other = await edge.ask("cmd.acme.CreateAgent", AGENT | {"agent_id": "b"}, Idempotency_Key="k")
        assert first.body == again.body
        assert other.problem == (422, "command-id-reused")

    async def test_may_be_a_document(self, edge: Edge) -> None:
        definition = b"document: {dsl: 1.0.3, namespace: n, name: w, version: 1.0.0}\ndo: [{a: {set: {b: 1}}}]"
        answered = await edge.ask("cmd.acme.RegisterWorkflow", definition, Content_Type="application/yaml")
        assert answered.status == 201, answered.body

    async def test_may_be_many(self, edge: Edge) -> None:
        many = [
            {"command": "CreateAgent", "agent_id": "a", **AGENT},
            {"command": "StartAgent", "agent_id": "a"},
            {"command": "StartAgent", "agent_id": "a"},
        ]
        answered = await edge.ask("cmd.acme.ExecuteCommands", many)
        assert [result["status"] for result in answered.body["results"]] == [201, 200, 409]
        assert answered.headers["Foldwork-Position"] == str(await edge.api.log.head())

    async def test_needs_no_answer(self, edge: Edge) -> None:
        await edge.client.publish("cmd.acme.CreateAgent", orjson.dumps(AGENT))
        async with asyncio.timeout(ANSWER_S_MAX):
            while await edge.api.log.head() == 0:
                await asyncio.sleep(0.01)


class TestWhatIsNoCommand:
    @pytest.mark.parametrize(
        ("subject", "body", "problem"),
        [
            ("cmd.acme", b"{}", (400, "unknown-subject")),
            ("cmd.acme.agents.StartAgent", b"{}", (400, "unknown-subject")),
            ("cmd.ACME.StartAgent", b'{"agent_id": "a"}', (422, "invalid-fields")),
            ("cmd.acme.Nothing", b"{}", (404, "command-unknown")),
            ("cmd.acme.ClaimAgentName", b"{}", (404, "command-unknown")),
            ("cmd.acme.StartAgent", b"", (400, "malformed")),
            ("cmd.acme.StartAgent", b"{", (400, "malformed")),
            ("cmd.acme.StartAgent", b"\xff\x00", (400, "malformed")),
            ("cmd.acme.StartAgent", b"[]", (422, "invalid-fields")),
            ("cmd.acme.StartAgent", b"{}", (422, "invalid-fields")),
            ("cmd.acme.StartAgent", b'{"agent_id": "a", "x": 1}', (422, "invalid-fields")),
            ("cmd.acme.StartAgent", b'{"agent_id": "%b"}' % (b"a" * 4_194_304), (413, "body-too-large")),
        ],
    )
    async def test_is_refused_with_a_problem(
        self, edge: Edge, subject: str, body: bytes, problem: tuple[int, str]
    ) -> None:
        assert (await edge.ask(subject, body)).problem == problem

    async def test_of_another_media_type_is_refused(self, edge: Edge) -> None:
        answered = await edge.ask("cmd.acme.CreateAgent", AGENT, Content_Type="text/plain")
        assert answered.problem == (415, "unsupported-media-type")

    async def test_keeps_nothing_from_being_answered(self, edge: Edge) -> None:
        for number in range(50):
            await edge.client.publish("cmd.acme.StartAgent", b"\x00" * number, headers={"content-length": "x"})
        assert (await edge.ask("cmd.acme.CreateAgent", AGENT)).status == 201


class TestAHostileMessage:
    @pytest.mark.parametrize(
        "frame",
        [
            b"PUB cmd.\xff\xfe.StartAgent 2\r\n{}\r\n",
            b"PUB cmd.acme.StartAgent inbox.\xff 2\r\n{}\r\n",
            b"HPUB cmd.acme.StartAgent 17 19\r\nNATS/1.0 \xff\xff\xff \r\n\r\n{}\r\n",
            b"HPUB cmd.acme.StartAgent 19 21\r\nNATS/1.0\r\n\xff\xfe: \xff\r\n\r\n{}\r\n",
        ],
    )
    async def test_does_not_keep_others_from_being_answered(
        self, edge: Edge, embedded_nats: EmbeddedNats, frame: bytes
    ) -> None:
        where = urlsplit(embedded_nats.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n' + frame + b"PING\r\n")
        await asyncio.wait_for(reader.readuntil(b"PONG\r\n"), ANSWER_S_MAX)
        assert (await edge.ask("cmd.acme.CreateAgent", AGENT)).status == 201
        writer.close()

    @pytest.mark.parametrize(
        "subject", ["evt.acme.task.started", "work-3.acme.a.t", "$JS.API.STREAM.PURGE.X", "cmd.other.X"]
    )
    async def test_is_not_answered_where_only_we_may_speak(self, edge: Edge, subject: str) -> None:
        heard = await edge.client.subscribe(subject)
        await edge.client.publish("cmd.acme.CreateAgent", orjson.dumps(AGENT), reply=subject)
        assert (await edge.ask("cmd.acme.CreateAgent", AGENT)).status == 201
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.2)


class TestTheServers:
    async def test_share_the_requests(self, embedded_nats: EmbeddedNats, settings: Settings) -> None:
        async with serving(embedded_nats.url, settings, PROCESSES) as edge:
            answers = await asyncio.gather(
                *(edge.ask("cmd.acme.CreateAgent", {"name": f"n{n}", "agent_type": "reactive"}) for n in range(500))
            )
            assert {answer.status for answer in answers} == {201}
            # One event for the agent and one for its name, each once.
            assert await edge.api.log.head() == 1_000

    async def test_serve_again_once_nats_is_back(self, embedded_nats: EmbeddedNats, settings: Settings) -> None:
        async with serving(embedded_nats.url, settings) as edge:
            embedded_nats.kill()
            while embedded_nats.alive:
                await asyncio.sleep(0.01)
            await embedded_nats.start()
            async with asyncio.timeout(15):
                while True:
                    try:
                        answered = await edge.ask("cmd.acme.CreateAgent", AGENT, Idempotency_Key="k")
                        break
                    except (nats.errors.Error, OSError):
                        await asyncio.sleep(0.05)
            assert answered.status == 201


class TestTheDocument:
    async def test_has_a_channel_for_each_command(self, settings: Settings) -> None:
        async with command_api(settings) as api, self._documented(api, settings) as http:
            document = (await http.get("/asyncapi.json")).json()
        assert document["asyncapi"] == "3.0.0"
        names = {route.name for route in command_routes(CATALOG)} | {"ExecuteCommands"}
        assert document["channels"].keys() == names | {"Answer"}
        assert document["operations"].keys() == names
        assert document["channels"]["StartAgent"]["address"] == "cmd.{tenant}.StartAgent"
        assert document["components"]["schemas"]["StartAgent"]["required"] == ["agent_id"]
        assert "Idempotency-Key" in document["components"]["messages"]["StartAgent"]["headers"]["properties"]
        assert "Foldwork-Tenant" not in document["components"]["messages"]["StartAgent"]["headers"]["properties"]

    async def test_leads_nowhere_that_is_not_there(self, settings: Settings) -> None:
        async with command_api(settings) as api, self._documented(api, settings) as http:
            document = (await http.get("/asyncapi.json")).json()

        def follow(place: Any) -> None:
            if isinstance(place, dict):
                if isinstance(place.get("$ref"), str):
                    target: Any = document
                    for part in place["$ref"].removeprefix("#/").split("/"):
                        target = target[part]
                for below in place.values():
                    follow(below)
            elif isinstance(place, list):
                for below in place:
                    follow(below)

        follow(document)

    async def test_is_shown_on_a_page(self, settings: Settings) -> None:
        async with command_api(settings) as api, self._documented(api, settings) as http:
            page = await http.get("/asyncapi")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "cmd.{tenant}.StartAgent" in page.text

    @asynccontextmanager
    async def _documented(self, api: CommandApi, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        application = api.application(CommandsOverNats(api.edge, "nats://127.0.0.1:1", settings).routes())
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://commands") as http:
            yield http
