"""Documents that a run asks for: fetched one and all, as external resources are, or not at all."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from pydantic import JsonValue
from starlette.responses import JSONResponse, RedirectResponse, Response

from infra.calls.call import CallContext, carry_out, fetch_documents
from infra.calls.contract import CallFailed
from tests.infra.calls.other_side import OtherSide, calling
from tests.infra.calls.test_http_bounds import drop_by_drop, raw_server

pytestmark = pytest.mark.outside

FUNCTION = b"set:\n  twice: ${ .n * 2 }\n"


def resource(address: str, policy: Any = None) -> dict[str, Any]:
    return {"endpoint": address if policy is None else {"uri": address, "authentication": policy}}


class TestDocuments:
    async def test_are_found_under_the_names_that_they_are_asked_for_by(
        self, server: OtherSide, context: CallContext
    ) -> None:
        schema = server.at("/schema.json", {"required": ["id"]})
        function = server.at("/function.yaml", Response(FUNCTION, media_type="text/plain"))
        found = await fetch_documents({"a": resource(schema), "b": resource(function)}, context)
        assert found == {"a": {"required": ["id"]}, "b": {"set": {"twice": "${ .n * 2 }"}}}

    async def test_are_asked_for_by_their_policies(self, server: OtherSide, context: CallContext) -> None:
        address = server.at("/schema.json", {})
        policy = {"basic": {"username": "ann", "password": "s3cret"}}
        await fetch_documents({"a": resource(address, policy)}, context)
        assert server.seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"ann:s3cret").decode()

    async def test_are_asked_for_with_a_new_token_after_theirs_was_refused(
        self, server: OtherSide, context: CallContext
    ) -> None:
        tokens = iter(["revoked", "t2"])
        server.at("/oauth2/token", lambda _: JSONResponse({"access_token": next(tokens), "expires_in": 3600}))
        fresh = "Bearer t2"
        address = server.at(
            "/schema.json",
            lambda seen: JSONResponse({}, 200 if seen.headers["authorization"] == fresh else 401),
        )
        client = {"id": "runner", "secret": "s3cret"}
        policy = {"oauth2": {"authority": server.url, "grant": "client_credentials", "client": client}}
        with pytest.raises(CallFailed, match="communication 401"):
            await fetch_documents({"a": resource(address, policy)}, context)
        assert await fetch_documents({"a": resource(address, policy)}, context) == {"a": {}}

    async def test_are_fetched_where_they_moved_to(self, server: OtherSide, context: CallContext) -> None:
        moved = server.at("/old", RedirectResponse(server.at("/new", {"set": {"a": 1}})))
        assert await fetch_documents({"a": resource(moved)}, context) == {"a": {"set": {"a": 1}}}

    @pytest.mark.parametrize(
        ("path", "answer", "type_"),
        [
            ("/missing", None, "communication"),
            ("/text", Response(b"just text", media_type="text/plain"), "configuration"),
            ("/list", Response(b"[1, 2]", media_type="application/json"), "configuration"),
            ("/open", Response(b'{"a": ', media_type="application/json"), "configuration"),
            ("/nul", Response(b'{"a": "\\u0000"}', media_type="application/json"), "configuration"),
            ("/large", Response(b" " * 1_000_000 + b"{}", media_type="application/json"), "communication"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_that_cannot_be_had_or_kept_are_a_failed_call(
        self, server: OtherSide, context: CallContext, path: str, answer: Any, type_: str
    ) -> None:
        good = server.at("/good", {"set": {"a": 1}})
        bad = server.url + path if answer is None else server.at(path, answer)
        with pytest.raises(CallFailed) as failed:
            await fetch_documents({"a": resource(good), "b": resource(bad)}, context)
        assert failed.value.type == type_

    async def test_that_are_long_hold_nobody_up_while_they_are_read(
        self, server: OtherSide, context: CallContext
    ) -> None:
        text = b"".join(b"k%d: [1, 2, 3, 4]\n" % number for number in range(15_000))
        address = server.at("/long.yaml", Response(text, media_type="text/yaml"))
        fetching = asyncio.create_task(fetch_documents({"a": resource(address)}, context))
        turns = 0
        while not fetching.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert len((await fetching)["a"]) == 15_000
        assert turns > 5

    async def test_are_not_fetched_where_calls_may_not_reach(self, server: OtherSide) -> None:
        address = server.at("/schema.json", {})
        async with calling(networks_allowed=()) as context:
            with pytest.raises(CallFailed) as failed:
                await fetch_documents({"a": resource(address)}, context)
        assert (failed.value.type, server.seen) == ("authorization", [])


class TestACallThatTakesMessagesWithoutAnEnd:
    @pytest.mark.parametrize("late", ["document", "token"])
    async def test_does_not_wait_without_an_end_for_what_it_needs_first(self, server: OtherSide, late: str) -> None:
        async def take(message: JsonValue) -> bool:
            return True

        async with raw_server(drop_by_drop) as slow, calling(call_s_max=0.3) as context:
            policy = {"authority": slow, "grant": "client_credentials", "client": {"authentication": "none"}}
            address, policies = (slow, None) if late == "document" else (server.url, {"oauth2": policy})
            arguments = {
                "document": resource(address, policies),
                "channel": "a",
                "subscription": {"consume": {"while": "true"}},
            }
            async with asyncio.timeout(3):
                with pytest.raises(CallFailed, match="timeout 408"):
                    await carry_out("asyncapi", arguments, replace(context, take=take))
