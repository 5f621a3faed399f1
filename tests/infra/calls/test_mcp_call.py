"""`call: mcp`: over streamable HTTP and over the pipes of a process, against small servers of our own (reference: MCP Call)."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from starlette.responses import JSONResponse, Response

from infra.calls.call import CallContext, CallFailed, CallSettings, carry_out
from infra.calls.guarded_process import python_for
from tests.infra.calls.other_side import OtherSide, Seen, calling

pytestmark = pytest.mark.outside

INITIALIZED = {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}


def events(*messages: str) -> Response:
    text = "".join(f"event: message\r\ndata: {message}\r\n\r\n" for message in messages)
    return Response(text, media_type="text/event-stream")


class McpServer:
    """Answers over HTTP; `streams` says whether with events."""

    def __init__(self, streams: bool = False, session: str | None = "s-1") -> None:
        self.streams, self.session = streams, session

    def __call__(self, seen: Seen) -> Response:
        if seen.method == "DELETE":
            return Response(status_code=204)
        message = seen.json
        if message["method"] == "initialize":
            headers = {"Mcp-Session-Id": self.session} if self.session else {}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": INITIALIZED}, headers=headers)
        if "id" not in message:
            return Response(status_code=202)
        if message["method"] == "tools/list":
            answer = f'{{"jsonrpc": "2.0", "id": {message["id"]}, "result": {{"tools": []}}}}'
        else:
            answer = (
                f'{{"jsonrpc": "2.0", "id": {message["id"]}, "error": {{"code": -32602, "message": "Unknown tool"}}}}'
            )
        if not self.streams:
            return Response(answer, media_type="application/json")
        return events('{"jsonrpc": "2.0", "method": "notifications/progress"}', answer)


async def call(context: CallContext, method: str = "tools/list", **more: Any) -> Any:
    return await carry_out("mcp", {"method": method, **more}, context)


class TestOverHttp:
    @pytest.mark.parametrize("streams", [False, True])
    async def test_initialises_calls_and_leaves(self, server: OtherSide, context: CallContext, streams: bool) -> None:
        transport = {"http": {"endpoint": server.at("/mcp", McpServer(streams)), "headers": {"X-Key": "k"}}}
        client = {"name": "mine", "version": "2"}
        assert await call(context, transport=transport, parameters={"cursor": "c"}, client=client) == {"tools": []}
        *posts, last = server.seen
        assert [seen.json["method"] for seen in posts] == ["initialize", "notifications/initialized", "tools/list"]
        assert posts[0].json["params"] == {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        assert posts[2].json["params"] == {"cursor": "c"}
        assert last.method == "DELETE"
        assert {seen.headers["x-key"] for seen in server.seen} == {"k"}
        assert {(seen.headers["mcp-session-id"], seen.headers["mcp-protocol-version"]) for seen in server.seen[1:]} == {
            ("s-1", "2025-03-26")
        }
        assert "mcp-session-id" not in posts[0].headers
        keys = [seen.headers["idempotency-key"] for seen in server.seen]
        assert keys == ["call-1/initialize", "call-1/notifications/initialized", "call-1/tools/list", "call-1"]
        assert {seen.headers["accept"] for seen in posts} == {"application/json, text/event-stream"}

    async def test_does_without_a_session(self, server: OtherSide, context: CallContext) -> None:
        transport = {"http": {"endpoint": server.at("/mcp", McpServer(session=None))}}
        assert await call(context, transport=transport, protocolVersion="2025-03-26") == {"tools": []}
        assert [seen.method for seen in server.seen] == ["POST"] * 3
        assert server.seen[0].json["params"]["protocolVersion"] == "2025-03-26"

    async def test_leaves_a_server_that_names_no_version(self, server: OtherSide, context: CallContext) -> None:
        silent = JSONResponse({"jsonrpc": "2.0", "id": 0, "result": {}}, headers={"Mcp-Session-Id": "s-1"})
        with pytest.raises(CallFailed, match=r"runtime 500: .* which version"):
            await call(context, transport={"http": {"endpoint": server.at("/mcp", silent)}})
        assert [(seen.method, seen.headers.get("mcp-session-id")) for seen in server.seen] == [
            ("POST", None),
            ("DELETE", "s-1"),
        ]

    async def test_authenticates(self, server: OtherSide, context: CallContext) -> None:
        endpoint = {"uri": server.at("/mcp", McpServer()), "authentication": {"bearer": {"token": "t1"}}}
        await call(context, transport={"http": {"endpoint": endpoint}})
        assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer t1"}

    @pytest.mark.parametrize("streams", [False, True])
    async def test_fails_with_the_servers_error(self, server: OtherSide, context: CallContext, streams: bool) -> None:
        transport = {"http": {"endpoint": server.at("/mcp", McpServer(streams))}}
        with pytest.raises(CallFailed) as failed:
            await call(context, "tools/call", transport=transport, parameters={"name": "a"})
        assert (failed.value.type, failed.value.status) == ("runtime", 500)
        assert "-32602: Unknown tool" in failed.value.detail

    @pytest.mark.parametrize(
        "answer", [Response(b"no json"), events("[]"), Response(status_code=202), events('{"id": 99, "result": 1}')]
    )
    async def test_fails_if_the_server_speaks_something_else(
        self, server: OtherSide, context: CallContext, answer: Response
    ) -> None:
        with pytest.raises(CallFailed, match="communication 500"):
            await call(context, transport={"http": {"endpoint": server.at("/mcp", answer)}})

    async def test_takes_no_longer_than_its_timeout_though_the_server_hangs(self) -> None:
        greeting = orjson.dumps({"jsonrpc": "2.0", "id": 0, "result": INITIALIZED})
        head = b"HTTP/1.1 200 OK\r\nMcp-Session-Id: s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        says = [head % len(greeting) + greeting, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"]

        async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                while length := re.search(rb"content-length: (\d+)", (await reader.readuntil(b"\r\n\r\n")).lower()):
                    await reader.readexactly(int(length[1]))
                    writer.write(says.pop(0) if says else b"")

        began = monotonic()
        async with await asyncio.start_server(hangs, "127.0.0.1", 0) as made, calling(close_s_max=0.1) as context:
            endpoint = f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}/mcp"
            with pytest.raises(CallFailed, match="timeout 408"):
                await call(context, timeout={"milliseconds": 200}, transport={"http": {"endpoint": endpoint}})
        assert not says
        assert monotonic() - began < 3

    async def test_fails_with_the_status_of_a_refusal(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await call(context, transport={"http": {"endpoint": server.url + "/unknown"}})

    @pytest.mark.parametrize(
        "wrong",
        [{"method": "sampling/createMessage"}, {"transport": {}}, {"transport": {"http": {}}}, {"timeout": "soon"}],
    )
    async def test_that_is_none_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, wrong: dict[str, Any]
    ) -> None:
        arguments = {"method": "tools/list", "transport": {"http": {"endpoint": server.url}}} | wrong
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("mcp", arguments, context)


def stdio(text: str, how: str = "well") -> dict[str, Any]:
    """The server's own text as its program: the folder of the tests may be closed to the user that processes run as."""
    code = (Path(__file__).parent / "mcp_server.py").read_text()
    python = python_for(CallSettings(processes_allowed=True))
    return {
        "parameters": {"name": "say", "arguments": {"text": text}},
        "transport": {"stdio": {"command": python, "arguments": ["-I", "-c", code, how], "environment": {"NAME": "n"}}},
    }


class TestOverPipes:
    async def test_initialises_and_calls(self) -> None:
        async with calling(processes_allowed=True) as context:
            found = await call(context, "tools/call", **stdio("hello"))
        assert found == {"content": [{"type": "text", "text": "hello n True"}]}

    async def test_fails_with_the_servers_error(self) -> None:
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match=r"runtime 500: .*-32601: no prompts/list"):
                await call(context, "prompts/list", **stdio(""))

    async def test_fails_if_the_server_dies(self) -> None:
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match="communication 500"):
                await call(context, "tools/call", **stdio("", "dies"))

    @pytest.mark.parametrize("timeout", [{"milliseconds": 300}, "PT0.3S"])
    async def test_fails_if_the_server_takes_longer_than_the_calls_timeout(self, timeout: Any) -> None:
        began = monotonic()
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match="timeout 408"):
                await call(context, "tools/call", timeout=timeout, **stdio("", "silent"))
        assert monotonic() - began < 5

    async def test_is_refused_unless_the_operator_allowed_processes(self, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="authorization 403"):
            await call(context, "tools/call", **stdio(""))

    async def test_fails_if_there_is_no_such_program(self) -> None:
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match="configuration 400"):
                await call(context, transport={"stdio": {"command": "no-such-program"}})
