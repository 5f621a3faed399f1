"""What the reference says of AsyncAPI and no example shows, over WebSocket: the handshake, until when it listens, and what comes of it."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from infra.supervisor import Supervisor
from tests.infra.calls.websocket_documents import version_2, version_3
from tests.infra.calls.websocket_server import Behaviour, WebSocketServer, says
from tests.kit.outside import Outside
from tests.kit.system import Run, Workflows
from tests.kit.test_asyncapi_over_nats import begin

pytestmark = pytest.mark.servers

PATH = "/v1/news"
TELL = "operation: tell, message: {payload: {n: '${ .n }'}, headers: {x-a: b}}"


def hearing(consume: str, more: str = "") -> str:
    return f"operation: hear, protocol: ws, subscription: {{consume: {{{consume}}}{more}}}"


def counts(pause_s: float = 0.0) -> Behaviour:
    """Say a number after the other for as long as somebody listens."""

    async def behaviour(connection: ServerConnection) -> None:
        n = 0
        while True:
            await connection.send(orjson.dumps({"n": n}).decode())
            n += 1
            await asyncio.sleep(pause_s)

    return behaviour


def payloads(found: dict[str, Any]) -> list[Any]:
    assert (found["status"], found["error"]) == ("completed", None)
    return [message["payload"]["n"] for message in found["output"]]


class TestAMessage:
    def test_is_sent_with_its_headers(self, workflows: Workflows, outside: Outside, talker: WebSocketServer) -> None:
        run = begin(workflows, outside, version_3(talker.address), TELL, {"n": 7})
        found = run.ended()
        assert (found["status"], found["error"]) == ("completed", None)
        assert [orjson.loads(each) for each in talker.shaken[0].messages] == [{"n": 7}]
        headers = talker.shaken[0].headers
        assert (headers["x-a"], headers["idempotency-key"].split("/")[1]) == ("b", run.run_id)

    def test_to_a_channel_of_version_2_is_sent_too(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        document = version_2(f"ws://{talker.address}/v2")
        begin(workflows, outside, document, "channel: /news, message: {payload: {n: 1}}").ended()
        assert [each.path for each in talker.shaken] == ["/v2/news"]


class TestTheHandshake:
    def test_carries_what_answers_its_challenge(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        def challenge(connection: ServerConnection, request: Request) -> Response | None:
            if request.headers.get("Authorization", "").startswith('Digest username="ann"'):
                return None
            said = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
            return Response(401, "Unauthorized", Headers({"WWW-Authenticate": said}), b"")

        talker.refuses = challenge
        policy = "protocol: ws, authentication: {digest: {username: ann, password: pw}}"
        found = begin(workflows, outside, version_3(talker.address), f"{TELL}, {policy}", {"n": 1}).ended()
        assert (found["status"], found["error"]) == ("completed", None)
        assert len(talker.shaken) == 2

    def test_that_is_refused_is_an_error_that_can_be_caught(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        talker.refuses = lambda connection, request: connection.respond(401, "no")
        policy = "authentication: {bearer: {token: t0}}"
        found = begin(workflows, outside, version_3(talker.address), f"{TELL}, {policy}", {"n": 1}).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 401)
        assert found["error"]["type"].endswith("/authentication")


class TestASubscription:
    @pytest.mark.parametrize("duration", ["PT1S", "'${ .pause }'"])
    def test_ends_with_its_time(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer, duration: str
    ) -> None:
        talker.behaves[PATH] = counts(0.05)
        since = time.monotonic()
        arguments = hearing(f"amount: 900, for: {duration}")
        found = begin(workflows, outside, version_3(talker.address), arguments, {"pause": "PT1S"}).ended()
        assert 0 < len(payloads(found)) < 900
        assert 1.0 <= time.monotonic() - since < 10

    @pytest.mark.parametrize(
        ("condition", "taken"),
        [
            ("while: '${ ($context.consumedMessages | length) < 3 }'", 3),
            ("until: '${ ($context.consumedMessages | length) == 4 }'", 4),
            ("until: '${ .[-1].payload.n == 5 }'", 6),
        ],
    )
    def test_ends_with_its_condition(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer, condition: str, taken: int
    ) -> None:
        talker.behaves[PATH] = counts()
        run = begin(workflows, outside, version_3(talker.address), hearing(condition))
        assert payloads(run.ended()) == list(range(taken))

    def test_does_something_with_each_message(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        talker.behaves[PATH] = counts(0.02)
        tell = "{emit: {event: {with: {type: saw, data: '${ $item.payload.n }'}}}}"
        more = f", filter: '${{ .payload.n % 2 == 1 }}', foreach: {{do: [{{saw: {tell}}}], output: {{as: $item.payload.n}}}}"
        run = begin(workflows, outside, version_3(talker.address), hearing("amount: 3", more))
        assert run.ended()["output"] == [1, 3, 5]
        assert [each["data"]["event"]["data"] for each in run.events("run.event_emitted")] == [1, 3, 5]

    def test_goes_on_after_its_connection_was_cut(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        async def cut(connection: ServerConnection) -> None:
            await says('{"n": 1}', '{"n": 2}')(connection)
            connection.transport.abort()

        talker.behaves[PATH] = cut
        found = begin(workflows, outside, version_3(talker.address), hearing("amount: 3")).ended()
        assert payloads(found) == [1, 2, 1]
        assert len(talker.shaken) == 2

    def test_goes_on_after_the_process_that_subscribed_was_killed(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer, system: Supervisor
    ) -> None:
        talker.behaves[PATH] = counts(0.1)
        more = ", foreach: {do: [{saw: {emit: {event: {with: {type: saw}}}}}], output: {as: $item.payload.n}}"
        run = begin(workflows, outside, version_3(talker.address), hearing("amount: 6", more))
        _until_consumed(run, 2)
        system.kill("sagas")
        found = run.ended()
        assert (found["status"], len(found["output"]), len(run.events("run.event_consumed"))) == ("completed", 6, 6)

    def test_faults_by_a_message_that_is_too_large(
        self, workflows: Workflows, outside: Outside, talker: WebSocketServer
    ) -> None:
        talker.behaves[PATH] = says("x" * 1_000_000)
        found = begin(workflows, outside, version_3(talker.address), hearing("amount: 1")).ended()
        assert (found["status"], found["error"]["status"]) == ("faulted", 500)
        assert "900000 bytes" in found["error"]["detail"]


def _until_consumed(run: Run, number: int) -> None:
    until = time.monotonic() + 15
    while len(run.events("run.event_consumed")) < number:
        assert time.monotonic() < until
        time.sleep(0.05)
