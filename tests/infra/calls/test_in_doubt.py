"""Whether a call that failed may have been done all the same: it was asked for, and nobody heard that it was refused."""

import asyncio
import socket

import orjson
import pytest
from starlette.responses import PlainTextResponse, Response

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, calling
from tests.infra.calls.test_http_bounds import fails, raw_server

pytestmark = pytest.mark.outside


async def silence(writer: asyncio.StreamWriter) -> None:
    """Hang up without a word."""


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


async def half_a_refusal(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 409 Conflict\r\nContent-Length: 10\r\n\r\nhalf")


async def patience(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def failed(url: str, context: CallContext) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        await carry_out("http", {"method": "post", "endpoint": url}, context)
    return failed.value


class TestACallThatFailed:
    @pytest.mark.parametrize("script", [silence, half])
    async def test_is_in_doubt_when_the_connection_was_lost(self, script, context: CallContext) -> None:
        assert (await fails(script, context, method="post")).in_doubt

    async def test_is_in_doubt_when_the_answer_was_late(self) -> None:
        async with calling(call_s_max=0.1) as context:
            assert (await fails(patience, context, method="post")).in_doubt

    async def test_is_in_doubt_when_the_answer_cannot_be_used(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/broken", Response(b"{", media_type="application/json"))
        assert (await failed(url, context)).in_doubt
        url = server.at("/unrecordable", PlainTextResponse("a\x00b"))
        assert (await failed(url, context)).in_doubt

    @pytest.mark.parametrize("status", [502, 504])
    async def test_is_in_doubt_when_a_gateway_had_no_answer(
        self, status: int, server: OtherSide, context: CallContext
    ) -> None:
        assert (await failed(server.at("/", PlainTextResponse("", status)), context)).in_doubt

    @pytest.mark.parametrize("status", [300, 400, 409, 429, 500, 503])
    async def test_is_in_no_doubt_when_it_was_refused(
        self, status: int, server: OtherSide, context: CallContext
    ) -> None:
        refused = await failed(server.at("/", PlainTextResponse("", status)), context)
        assert (refused.in_doubt, refused.unheard) == (False, False)  # nor would another attempt have been heard

    async def test_is_in_no_doubt_when_it_was_refused_and_the_rest_of_that_was_lost(self, context: CallContext) -> None:
        refused = await fails(half_a_refusal, context, method="post")
        assert (refused.status, refused.in_doubt, refused.unheard) == (409, False, False)
        assert "answered 409: half" in refused.detail

    @pytest.mark.parametrize("script", [silence, half])
    async def test_is_in_no_doubt_when_only_its_document_was_lost(self, script, context: CallContext) -> None:
        async with raw_server(script) as url:
            with pytest.raises(CallFailed, match="communication 500") as lost:
                await carry_out("openapi", {"document": {"endpoint": url}, "operationId": "a"}, context)
        assert (lost.value.in_doubt, lost.value.unheard) == (False, True)

    async def test_is_in_no_doubt_when_only_its_token_was_late(
        self, server: OtherSide, context: CallContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(context.resources.http, "timeout", 0.1)
        async with raw_server(patience) as authority:
            policy = {"authority": authority, "grant": "client_credentials", "client": {"authentication": "none"}}
            endpoint = {"uri": server.at("/", {}), "authentication": {"oauth2": policy}}
            with pytest.raises(CallFailed, match="timeout 408") as late:
                await carry_out("http", {"method": "post", "endpoint": endpoint}, context)
        assert (late.value.in_doubt, server.seen) == (False, [])

    async def test_is_in_no_doubt_when_nobody_was_there(self, context: CallContext) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        nobody = await failed(url, context)
        assert (nobody.in_doubt, nobody.unheard) == (False, True)  # another attempt may have been in time

    async def test_is_in_no_doubt_when_it_may_not_be_made(self) -> None:
        async with calling(networks_allowed=()) as context:
            forbidden = await failed("http://127.0.0.1/", context)
        assert (forbidden.in_doubt, forbidden.unheard) == (False, False)

    @pytest.mark.parametrize("answer", [b"no json", b"[]", b"{}", b" " * 1_000_000])
    async def test_is_in_doubt_when_an_agent_says_something_else(
        self, answer: bytes, server: OtherSide, context: CallContext
    ) -> None:
        url = server.at("/agent", Response(answer, media_type="application/json"))
        with pytest.raises(CallFailed) as failed:
            await carry_out("a2a", {"method": "message/send", "server": url}, context)
        assert failed.value.in_doubt

    @pytest.mark.parametrize(("answers", "in_doubt"), [(0, False), (1, True)])
    async def test_is_in_doubt_when_an_mcp_server_was_lost_only_after_it_was_ready(
        self, answers: int, in_doubt: bool
    ) -> None:
        ready = orjson.dumps({"id": 0, "result": {"protocolVersion": "1"}}).decode()
        script = f"read line; echo '{ready}'; read line; read line" if answers else "read line"
        stdio = {"command": "/bin/sh", "arguments": ["-c", script]}
        async with calling(processes_allowed=True) as context:
            with pytest.raises(CallFailed, match="ended without an answer") as lost:
                await carry_out("mcp", {"method": "tools/call", "transport": {"stdio": stdio}}, context)
        assert lost.value.in_doubt is in_doubt

    async def test_is_in_no_doubt_when_an_mcp_server_was_lost_before_it_was_asked(self, context: CallContext) -> None:
        async with raw_server(silence) as url:
            http = {"endpoint": url}
            with pytest.raises(CallFailed, match="communication 500") as lost:
                await carry_out("mcp", {"method": "tools/call", "transport": {"http": http}}, context)
        assert not lost.value.in_doubt
