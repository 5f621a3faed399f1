"""Calls that the reference calls invalid, or that are not supported: they are refused at registration (dsl-reference.md)."""

import pytest

from tests.write_side.dsl_case import definition
from tests.write_side.dsl_refused import Refused, check_refused

A = "/do/0/a"
ASYNC = "document: {endpoint: 'https://tests'}"


def with_(arguments: str, call: str = "http") -> str:
    return f"do: [{{a: {{call: {call}, with: {{{arguments}}}}}}}]"


OF_CALLS = (
    Refused("Call", "a function must be one that is declared", with_("n: 1", "double"), f"{A}/call"),
    Refused("HTTP Call", "a method must be there", with_("endpoint: 'https://tests'"), f"{A}/with/method"),
    Refused("HTTP Call", "an endpoint must be there", with_("method: get"), f"{A}/with/endpoint"),
    Refused(
        "HTTP Call",
        "an output must be one of three",
        with_("method: get, endpoint: 'https://tests', output: all"),
        f"{A}/with/output",
    ),
    Refused("OpenAPI Call", "an operation must be there", with_(ASYNC, "openapi"), f"{A}/with/operationId"),
    Refused(
        "AsyncAPI Call",
        "there must be either a channel or an operation",
        with_(f"{ASYNC}, channel: a, operation: b, message: {{}}", "asyncapi"),
        f"{A}/with",
    ),
    Refused(
        "AsyncAPI Call",
        "there must be either a message or a subscription",
        with_(f"{ASYNC}, operation: b", "asyncapi"),
        f"{A}/with",
    ),
    Refused(
        "AsyncAPI Call",
        "a protocol must be one there is",
        with_(f"{ASYNC}, operation: b, message: {{}}, protocol: carrier-pigeon", "asyncapi"),
        f"{A}/with/protocol",
    ),
    Refused(
        "AsyncAPI Call",
        "only NATS and WebSocket are spoken",
        with_(f"{ASYNC}, operation: b, message: {{}}, protocol: kafka", "asyncapi"),
        f"{A}/with/protocol",
    ),
    Refused(
        "AsyncAPI Call",
        "digest is no authentication of NATS",
        with_(
            f"{ASYNC}, operation: b, message: {{}}, authentication: {{digest: {{username: a, password: b}}}}",
            "asyncapi",
        ),
        f"{A}/with/authentication",
    ),
    Refused(
        "gRPC Call",
        "digest is no authentication of gRPC",
        "use: {authentications: {x: {digest: {username: a, password: b}}}}\n"
        + with_(
            "proto: {endpoint: 'https://tests'}, method: m, service: {name: s, host: tests, authentication: {use: x}}",
            "grpc",
        ),
        f"{A}/with/service/authentication",
    ),
    Refused(
        "AsyncAPI Subscription Lifetime",
        "there must be one end",
        with_(f"{ASYNC}, operation: b, subscription: {{consume: {{for: PT1S}}}}", "asyncapi"),
        f"{A}/with/subscription/consume",
    ),
    Refused(
        "A2A Call",
        "a method must be one there is",
        with_("method: message/shout, server: 'https://tests'", "a2a"),
        f"{A}/with/method",
    ),
    Refused(
        "MCP Call",
        "a method must be one there is",
        with_("method: tools/steal, transport: {http: {endpoint: 'https://tests'}}", "mcp"),
        f"{A}/with/method",
    ),
    Refused(
        "MCP Transport",
        "there must be one transport",
        with_("method: tools/list, transport: {}", "mcp"),
        f"{A}/with/transport",
    ),
    Refused(
        "Authentication",
        "a policy must be one that is declared",
        with_("method: get, endpoint: {uri: 'https://tests', authentication: {use: staff}}"),
        f"{A}/with/endpoint/authentication/use",
    ),
    Refused(
        "Authentication",
        "there must be one scheme",
        "use: {authentications: {x: {}}}\ndo: []",
        "/use/authentications/x",
    ),
    Refused(
        "Basic Authentication",
        "a password must be there",
        "use: {authentications: {x: {basic: {username: ann}}}}\ndo: []",
        "/use/authentications/x/basic/password",
    ),
    Refused(
        "OAUTH2 Authentication",
        "a grant must be there",
        "use: {authentications: {x: {oauth2: {authority: 'https://tests'}}}}\ndo: []",
        "/use/authentications/x/oauth2/grant",
    ),
)


@pytest.mark.parametrize("case", OF_CALLS, ids=str)
class TestACall:
    def test_is_refused_where_it_is_wrong(self, case: Refused) -> None:
        check_refused(case, definition(case.definition))
