"""`call: a2a`: JSON-RPC with an agent, one answer or a stream of them (reference: A2A Call)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from infra.calls.call import CallContext, CallFailed, carry_out
from tests.infra.calls.other_side import OtherSide, Seen, calling

pytestmark = pytest.mark.outside

MESSAGE = {"message": {"parts": [{"kind": "text", "text": "Report"}]}}


def agent(seen: Seen) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": seen.json["id"], "result": {"kind": "task", "id": "t"}})


def streaming_agent(seen: Seen) -> Response:
    number = seen.json["id"]
    texts = [f'{{"jsonrpc": "2.0", "id": "{number}",\ndata: "result": {{"step": {step}}}}}' for step in range(3)]
    return Response(": hello\n\n" + "".join(f"data: {text}\n\n" for text in texts), media_type="text/event-stream")


def in_pieces(seen: Seen) -> Response:
    """The answer byte by byte, as a stream with lines that end in CR and LF."""
    text = f'data: {{"jsonrpc": "2.0", "id": "{seen.json["id"]}",\r\ndata: "result": 1}}\r\n\r\n'

    async def pieces() -> AsyncIterator[bytes]:
        for byte in text.encode():
            yield bytes([byte])

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def call(context: CallContext, method: str = "message/send", **more: Any) -> Any:
    return await carry_out("a2a", {"method": method, **more}, context)


class TestAMessage:
    async def test_is_sent_to_the_server(self, server: OtherSide, context: CallContext) -> None:
        found = await call(context, server=server.at("/agent", agent), parameters=MESSAGE)
        assert found == {"kind": "task", "id": "t"}
        assert (server.seen[0].json["jsonrpc"], server.seen[0].json["method"]) == ("2.0", "message/send")

    async def test_is_sent_to_where_the_agents_card_says(self, server: OtherSide, context: CallContext) -> None:
        card = server.at("/.well-known/agent-card.json", {"name": "a", "url": server.at("/agent", agent)})
        endpoint = {"uri": card, "authentication": {"bearer": {"token": "t1"}}}
        assert await call(context, agentCard={"endpoint": endpoint}, parameters=MESSAGE) == {"kind": "task", "id": "t"}
        assert [seen.path for seen in server.seen] == ["/.well-known/agent-card.json", "/agent"]
        assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer t1"}

    async def test_takes_no_credentials_to_another_place(self, server: OtherSide) -> None:
        server.at("/agent", agent)
        card = server.at("/card.json", {"url": "http://agent.example.com/agent"})
        endpoint = {"uri": card, "authentication": {"bearer": {"token": "t1"}}}
        async with calling(origins={"http://agent.example.com": server.url}) as context:
            await call(context, agentCard={"endpoint": endpoint}, parameters=MESSAGE)
        assert ["authorization" in seen.headers for seen in server.seen] == [True, False]

    async def test_gets_an_id_that_stays_the_same_and_is_the_users(self, server: OtherSide) -> None:
        url = server.at("/agent", agent)
        for key in ("k1", "k1", "k2"):
            async with calling(key) as context:
                await call(context, server=url, parameters=MESSAGE)
        first, again, other = (seen.json["params"]["message"] for seen in server.seen)
        assert first == again
        assert first["messageId"] != other["messageId"]
        assert (first["role"], first["parts"]) == ("user", MESSAGE["message"]["parts"])

    async def test_keeps_the_id_and_role_that_it_has(self, server: OtherSide, context: CallContext) -> None:
        message = {"messageId": "m", "role": "agent", "parts": []}
        await call(context, server=server.at("/agent", agent), parameters={"message": message})
        assert server.seen[0].json["params"] == {"message": message}

    @pytest.mark.parametrize("method", ["message/stream", "tasks/resubscribe"])
    async def test_that_streams_gives_all_results(self, server: OtherSide, context: CallContext, method: str) -> None:
        found = await call(context, method, server=server.at("/agent", streaming_agent), parameters=MESSAGE)
        assert found == [{"step": 0}, {"step": 1}, {"step": 2}]

    async def test_that_streams_may_come_byte_by_byte(self, server: OtherSide, context: CallContext) -> None:
        found = await call(context, "message/stream", server=server.at("/agent", in_pieces), parameters=MESSAGE)
        assert found == [1]

    async def test_that_the_agent_refuses_fails_at_run_time(self, server: OtherSide, context: CallContext) -> None:
        error = {"jsonrpc": "2.0", "id": "x", "error": {"code": -32001, "message": "Task not found"}}
        with pytest.raises(CallFailed, match=r"runtime 500: .*-32001: Task not found"):
            await call(context, "tasks/get", server=server.at("/agent", error), parameters={"id": "t"})

    async def test_that_is_refused_gives_no_credentials_away(self, server: OtherSide, context: CallContext) -> None:
        error = {"jsonrpc": "2.0", "id": "x", "error": {"code": 1, "message": "no to hunter22"}}
        agent = {"uri": server.at("/agent", error), "authentication": {"bearer": {"token": "hunter22"}}}
        with pytest.raises(CallFailed, match=r"no to \*\*\*"):
            await call(context, server=agent, parameters=MESSAGE)

    async def test_that_nobody_takes_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 404"):
            await call(context, server=server.url + "/unknown", parameters=MESSAGE)

    @pytest.mark.parametrize(
        "wrong", [{"method": "tasks/dance"}, {"server": None}, {"agentCard": {}, "server": 5}, {"agentCard": "card"}]
    )
    async def test_that_is_none_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, wrong: dict[str, Any]
    ) -> None:
        arguments = {"method": "message/send", "server": server.url, "parameters": MESSAGE} | wrong
        with pytest.raises(CallFailed, match="configuration 400"):
            await carry_out("a2a", arguments, context)

    async def test_to_a_card_that_leads_nowhere_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext
    ) -> None:
        card = server.at("/card", {"url": "http://agent:port/"})
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, agentCard={"endpoint": card}, parameters=MESSAGE)
