"""A call that turns out not to be wanted at the last moment, when everything is ready for it, does not reach the other side."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
from starlette.responses import PlainTextResponse

from infra.calls.call import CallContext, carry_out, run_process
from infra.calls.contract import NotWanted
from infra.embedded.nats import EmbeddedNats
from tests.infra.calls.grpc_server import PROTO, SERVICE, grpc_server, keep
from tests.infra.calls.other_side import OtherSide, calling
from tests.infra.calls.test_asyncapi_call import old
from tests.infra.calls.test_mcp_call import McpServer, stdio
from tests.infra.calls.websocket_documents import telling, version_3
from tests.infra.calls.websocket_server import websocket_server

pytestmark = pytest.mark.outside
SOON_S = 0.2
"""What was sent is there by then."""


class Wanted:
    """Says how often a call is still wanted, and counts how often that is asked."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.times:
            raise NotWanted


@pytest.fixture
async def unwanted() -> AsyncIterator[CallContext]:
    async with calling(processes_allowed=True) as context:
        yield replace(context, confirm=Wanted(0))


@pytest.fixture
def began() -> Iterator[Path]:
    """A file that is there once a process has begun, where another account may write."""
    with TemporaryDirectory(prefix="foldwork-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder) / "began"


def exists(file: Path) -> bool:
    return file.exists()


async def not_wanted(context: CallContext, function: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(NotWanted):
        await carry_out(function, arguments, context)
    await asyncio.sleep(SOON_S)


class TestACallThatIsNotWantedAnyMore:
    @pytest.mark.parametrize("method", ["get", "post"])
    async def test_over_http_is_not_heard(self, method: str, server: OtherSide, unwanted: CallContext) -> None:
        await not_wanted(unwanted, "http", {"method": method, "endpoint": server.at("/", {})})
        assert server.seen == []

    async def test_leaves_the_way_free_for_others(self, server: OtherSide) -> None:
        async with calling(connections_max=1) as context:
            given = {"method": "post", "endpoint": server.at("/", {"a": 1})}
            for _ in range(3):
                await not_wanted(replace(context, confirm=Wanted(0)), "http", given)
            assert await carry_out("http", given, context) == {"a": 1}

    async def test_is_asked_about_when_there_is_a_connection(self, context: CallContext) -> None:
        connected = asyncio.Event()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.set()
            writer.close()

        async def confirm() -> None:
            await connected.wait()
            raise NotWanted

        listening = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with listening:
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            await not_wanted(replace(context, confirm=confirm), "http", {"method": "post", "endpoint": url})

    async def test_to_an_agent_is_not_heard(self, server: OtherSide, unwanted: CallContext) -> None:
        await not_wanted(unwanted, "a2a", {"method": "message/send", "server": server.at("/agent", {})})
        assert server.seen == []

    async def test_of_a_tool_leaves_before_it(self, server: OtherSide, context: CallContext) -> None:
        given = {"method": "tools/call", "transport": {"http": {"endpoint": server.at("/mcp", McpServer())}}}
        await not_wanted(replace(context, confirm=Wanted(2)), "mcp", given)
        assert [seen.json["method"] for seen in server.seen] == ["initialize", "notifications/initialized"]

    async def test_leaves_an_answer_that_has_come_as_it_is(self, server: OtherSide, context: CallContext) -> None:
        given = {"method": "tools/list", "transport": {"http": {"endpoint": server.at("/mcp", McpServer())}}}
        assert await carry_out("mcp", given, replace(context, confirm=Wanted(3))) == {"tools": []}

    async def test_of_a_tool_over_pipes_is_not_heard(self, unwanted: CallContext) -> None:
        await not_wanted(unwanted, "mcp", {"method": "tools/call", **stdio("hello")})
        assert isinstance(unwanted.confirm, Wanted)
        assert unwanted.confirm.asked == 1

    async def test_over_grpc_is_not_heard(self, server: OtherSide, unwanted: CallContext) -> None:
        proto = server.at("/greet.proto", PlainTextResponse(PROTO))
        keep(unwanted, proto)
        with grpc_server() as greeter:
            place = {"name": SERVICE, "host": "localhost", "port": greeter.port}
            given = {"proto": {"endpoint": proto}, "service": place, "method": "SayHello", "arguments": {}}
            await not_wanted(unwanted, "grpc", given)
            assert greeter.heard == []

    async def test_over_nats_is_not_heard(
        self, server: OtherSide, context: CallContext, embedded_nats: EmbeddedNats
    ) -> None:
        given = old(server, urlsplit(embedded_nats.url).netloc, message={"payload": 1}, protocol="nats")
        client = await nats.connect(embedded_nats.url)
        listening = await client.subscribe("/notifications")
        await client.flush()
        await not_wanted(replace(context, confirm=Wanted(1)), "asyncapi", given)  # once for the document
        assert listening.pending_msgs == 0
        await client.close()

    async def test_over_a_websocket_is_not_heard(self, server: OtherSide, context: CallContext) -> None:
        async with websocket_server() as heard:
            given = telling(server, version_3(heard.address), {"payload": 1})
            await not_wanted(replace(context, confirm=Wanted(1)), "asyncapi", given)  # once for the document
            assert [shaken.messages for shaken in heard.shaken] == [[]]

    async def test_of_a_process_does_not_start_it(self, unwanted: CallContext, began: Path) -> None:
        described = {"shell": {"command": f"touch {began}"}}
        with pytest.raises(NotWanted):
            await run_process(described, unwanted)
        assert not exists(began)
        await run_process(described, replace(unwanted, confirm=Wanted(1)))
        assert exists(began)
