"""Which WebSocket servers a call connects to: those that may be reached, under the name that was checked, and nowhere else."""

import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from infra.calls import asyncapi_over_websocket
from infra.calls.call import CallContext, CallFailed, CallSettings, carry_out, open_resources
from tests.infra.calls.certificates import certify
from tests.infra.calls.other_side import LOOPBACK, OtherSide, calling, silent
from tests.infra.calls.websocket_documents import hearing, telling, version_2, version_3
from tests.infra.calls.websocket_server import WebSocketServer, websocket_server

pytestmark = pytest.mark.outside

NAME = "news.example.com"


@pytest.fixture
async def heard() -> AsyncIterator[WebSocketServer]:
    async with websocket_server() as server:
        yield server


class TestAnAddress:
    @pytest.mark.parametrize(
        "place",
        ["127.0.0.1:1", "localhost", "[::1]", "0x7f000001", "169.254.169.254", "metadata.google.internal", "10.0.0.1"],
    )
    @pytest.mark.parametrize("protocol", ["ws", "wss"])
    async def test_that_is_not_allowed_is_not_connected_to(self, server: OtherSide, place: str, protocol: str) -> None:
        async with calling(networks_allowed=(), origins={"http://docs.example.com": server.url}) as context:
            for arguments in (
                telling(server, version_3(place, protocol), {"payload": 1}),
                hearing(server, version_3(place, protocol), {"amount": 1}),
            ):
                arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
                with pytest.raises(CallFailed, match="authorization 403"):
                    await carry_out("asyncapi", arguments, context)

    async def test_is_found_once_and_is_the_one_that_is_connected_to(
        self, server: OtherSide, heard: WebSocketServer
    ) -> None:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

        _, _, port = heard.address.partition(":")
        mapped = {"http://docs.example.com": server.url}
        settings = CallSettings(networks_allowed=LOOPBACK, origins=mapped)
        async with open_resources(settings, resolve) as resources:
            arguments = telling(server, version_3(f"{NAME}:{port}"), {"payload": 1})
            arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
            await carry_out("asyncapi", arguments, CallContext("k", resources))
        assert asked == [NAME]
        assert heard.shaken[0].headers["host"] == f"{NAME}:{port}"

    async def test_that_does_not_answer_gives_way_to_the_next(self, server: OtherSide, heard: WebSocketServer) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.9", "127.0.0.1"]

        _, _, port = heard.address.partition(":")
        settings = CallSettings(networks_allowed=LOOPBACK, origins={"http://docs.example.com": server.url})
        async with open_resources(settings, resolve) as resources:
            arguments = telling(server, version_3(f"{NAME}:{port}"), {"payload": 1})
            arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
            await carry_out("asyncapi", arguments, CallContext("k", resources))
        assert len(heard.shaken) == 1

    async def test_that_says_nothing_leaves_time_for_the_next(self, server: OtherSide, heard: WebSocketServer) -> None:
        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.98", "127.0.0.1"]

        port = int(heard.address.partition(":")[2])
        mapped = {"http://docs.example.com": server.url}
        settings = CallSettings(networks_allowed=LOOPBACK, origins=mapped, connect_s_max=1)
        with silent("127.0.0.98", port):
            async with open_resources(settings, resolve) as resources:
                arguments = telling(server, version_3(f"{NAME}:{port}"), {"payload": 1})
                arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
                await carry_out("asyncapi", arguments, CallContext("k", resources))
        assert len(heard.shaken) == 1

    @pytest.mark.parametrize("where", ["/v1/elsewhere", "ws://{other}/v1/news", "wss://169.254.169.254/"])
    async def test_that_another_one_sends_to_is_not_followed(
        self, server: OtherSide, context: CallContext, heard: WebSocketServer, where: str
    ) -> None:
        async with websocket_server() as other:
            moved = Headers({"Location": where.format(other=other.address)})
            heard.refuses = lambda connection, request: Response(HTTPStatus.FOUND, "Found", moved, b"")
            with pytest.raises(CallFailed, match="communication 302"):
                await carry_out("asyncapi", telling(server, version_3(heard.address), {"payload": 1}), context)
            assert (len(heard.shaken), len(other.shaken)) == (1, 0)

    @pytest.mark.parametrize("meant", [f"wss://{NAME}", f"wss://{NAME}:443"])
    async def test_is_where_the_operator_sends_a_server(
        self, server: OtherSide, heard: WebSocketServer, meant: str
    ) -> None:
        origins = {meant: f"ws://{heard.address}", "http://docs.example.com": server.url}
        async with calling(networks_allowed=(), origins=origins) as context:
            for url, protocol in ((f"wss://{NAME}", "wss"), (f"wss://{NAME.upper()}:443", "ws")):
                arguments = telling(server, version_2(url, protocol), {"payload": 1}, protocol="ws")
                arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
                await carry_out("asyncapi", arguments, context)
            assert [each.headers["host"] for each in heard.shaken] == [f"{NAME}:443"] * 2

    @pytest.mark.parametrize(
        ("url", "protocol"),
        [("ws://a", "wss"), ("http://a", "ws"), ("ws://a:0", "ws"), ("ws://", "ws"), ("mqtt://a", "mqtt")],
    )
    async def test_that_cannot_be_one_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, url: str, protocol: str
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("asyncapi", telling(server, version_2(url, protocol), {"payload": 1}), context)


class TestTls:
    @pytest.mark.parametrize(("name", "trusted"), [(NAME, True), ("other.example.com", False)])
    async def test_needs_the_certificate_of_the_name(
        self, server: OtherSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
    ) -> None:
        file = certify(NAME, tmp_path / "certificate.pem")
        trusting = ssl.create_default_context(cafile=str(file))
        monkeypatch.setattr(asyncapi_over_websocket, "certificates", lambda: trusting)
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(file)

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        settings = CallSettings(networks_allowed=LOOPBACK, origins={"http://docs.example.com": server.url})
        async with websocket_server(own) as heard, open_resources(settings, resolve) as resources:
            port = heard.address.rpartition(":")[2]
            arguments = telling(server, version_3(f"{name}:{port}", "wss"), {"payload": 1}, protocol="ws")
            arguments["document"] = {"endpoint": "http://docs.example.com/d.json"}
            policy = {"bearer": {"token": "t1"}}
            calling_it = carry_out("asyncapi", arguments | {"authentication": policy}, CallContext("k", resources))
            if trusted:
                await calling_it
                assert heard.shaken[0].headers["authorization"] == "Bearer t1"
            else:
                with pytest.raises(CallFailed, match="communication 500"):
                    await calling_it
                assert heard.shaken == []
