"""Whatever a document says, a call fails with CallFailed and nothing else."""

import asyncio
import json
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.calls.asyncapi_document import find_channel
from infra.calls.asyncapi_handshake import handshake_of
from infra.calls.call import FUNCTIONS, CallContext, CallFailed, CallSettings, carry_out, open_resources, run_process
from infra.calls.openapi_document import find_operation
from tests.sizes import examples

WORDS = """
get post http https nats /a /a/{b} {b} # #/paths/~1a http://127.0.0.1:1/ https://example.com/ http://0x7f.1/
nats://a:1 ws wss ws://a/b a:b content response simple form query path header cookie body formData 2.0 3.0.0 2.6.0 1
tools/list message/send client_credentials application/json PT1S shell python ${ . } é
"""
NAMES = """
method endpoint uri headers query body output redirect authentication basic digest bearer oauth2 oidc username
password token authority grant client id secret request encoding issuers scopes document operationId
parameters channel operation server name variables protocol message payload subscription consume amount for
while until transport http stdio command arguments environment timeout agentCard url swagger openapi asyncapi
paths /a get post parameters in style explode required requestBody content servers host basePath schemes
consumes channels operations address $ref bindings nats queue publish subscribe enum default shell script
ws query method const additionalProperties messages message correlationId location oneOf pathname
language code source stdin return proto service host port
"""
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
text = st.sampled_from(WORDS.split()) | st.text(max_size=8)
values = st.recursive(
    plain | text,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()) | text, inner, max_size=5)
    ),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from(NAMES.split()), values, max_size=8)


async def nowhere(host: str, port: int) -> list[str]:
    return []


async def outcome(function: str, arguments: dict[str, Any]) -> None:
    async with open_resources(CallSettings(call_s_max=5), nowhere) as resources:
        context = CallContext("k", resources)
        try:
            if function == "process":
                await run_process(arguments, context)
            else:
                await carry_out(function, arguments, context)
        except CallFailed as failed:
            assert len(failed.detail) <= 1_000  # noqa: PT017  # any failure will do, if it is one of these
            assert 400 <= failed.status < 600  # noqa: PT017


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from([*FUNCTIONS, "process"]), objects)
def test_a_call_with_any_arguments_fails_as_a_call(function: str, arguments: dict[str, Any]) -> None:
    asyncio.run(outcome(function, arguments))


LIKELY = {
    "http": {"method": "get", "endpoint": "http://127.0.0.1:1/"},
    "openapi": {"document": {"endpoint": "http://127.0.0.1:1/"}, "operationId": "a"},
    "mcp": {"method": "tools/list", "transport": {"http": {"endpoint": "http://127.0.0.1:1/"}}},
    "a2a": {"method": "message/send", "server": "http://127.0.0.1:1/"},
    "grpc": {"proto": {"endpoint": "http://127.0.0.1:1/"}, "service": {"name": "A", "host": "a"}, "method": "b"},
}


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(list(LIKELY)), st.sampled_from(NAMES.split()), values)
def test_a_call_with_one_wrong_argument_fails_as_a_call(function: str, name: str, value: Any) -> None:
    asyncio.run(outcome(function, {**LIKELY[function], name: value}))


@settings(max_examples=examples(40), deadline=None)
@given(objects, st.sampled_from(["2.0", "3.0.0", "3.1.0"]), values)
def test_any_document_of_openapi_is_read_or_refused(document: dict[str, Any], version: str, item: Any) -> None:
    document |= {"swagger" if version == "2.0" else "openapi": version, "paths": {"/a": {"get": item}}}
    if isinstance(item, dict):
        item["operationId"] = "a"
    try:
        find_operation(document, "a", httpx.URL("http://example.com/openapi.json"))
    except CallFailed as refused:
        assert refused.type == "configuration", json.dumps(document)  # noqa: PT017


@settings(max_examples=examples(40), deadline=None)
@given(objects, objects, values, values, st.sampled_from(["2.6.0", "3.0.0"]))
def test_any_document_of_asyncapi_is_read_or_refused(
    document: dict[str, Any], arguments: dict[str, Any], server: Any, channel: Any, version: str
) -> None:
    document |= {"asyncapi": version, "servers": {"s": server}, "channels": {"c": channel}}
    document["operations"] = {"o": {"channel": {"$ref": "#/channels/c"}}}
    try:
        found = find_channel(document, arguments | {"channel": "c", "operation": "o"})
        handshake_of(found, {"a": "b"}, {})
    except CallFailed as refused:
        assert refused.type == "configuration"  # noqa: PT017
