"""Statements of the reference about agents, tools and functions of catalogs, each with a small definition that the running system plays."""

from tests.kit.example import Ask, Plays, Refused, Statement
from tests.kit.routes_of_statements import HERE
from tests.kit.statements_of_calls import call
from tests.write_side.dsl_case import STANDARD

OVER_HTTP = f"transport: {{http: {{endpoint: '{HERE}/mcp'%s}}}}"
KEY = {"x-key": "k1"}


def streaming(method: str) -> str:
    return call("a2a", f"server: '{HERE}/a2a', method: {method}, parameters: {{message: {{parts: []}}}}")


AGENTS = (
    Statement(
        "A2A Call",
        "message/stream yields a list of all results",
        streaming("message/stream"),
        Plays(output=[{"step": 0}, {"step": 1}, {"step": 2}]),
    ),
    Statement(
        "A2A Call",
        "tasks/resubscribe yields a list of all results",
        streaming("tasks/resubscribe"),
        Plays(output=[{"step": 0}, {"step": 1}, {"step": 2}]),
    ),
    Statement(
        "A2A Call",
        "the server is required without a card",
        call("a2a", "method: tasks/get, parameters: {id: x}"),
        Refused("/do/0/c/with/server"),
    ),
    Statement(
        "A2A Call",
        "the parameters may be an expression",
        call("a2a", f"server: '{HERE}/a2a', method: message/send, parameters: '${{ .asked }}'"),
        Plays({"asked": {"message": {"parts": [1], "messageId": "m1"}}}, output={"message": {"messageId": "m1"}}),
    ),
    Statement(
        "MCP Call",
        "a call that takes too long fails",
        call("mcp", f"method: prompts/list, timeout: PT0.3S, {OVER_HTTP % ''}"),
        Plays(error={"type": f"{STANDARD}timeout", "status": 408}),
    ),
    Statement(
        "MCP Call",
        "a call that takes no longer than it may succeeds",
        call("mcp", f"method: tools/list, timeout: {{seconds: 10}}, {OVER_HTTP % ''}"),
        Plays(output={"tools": []}),
    ),
    Statement(
        "MCP HTTP Transport",
        "headers go with every request",
        call("mcp", f"method: tools/list, {OVER_HTTP % ', headers: {x-key: k1}'}"),
        Plays(
            output={"tools": []},
            asks=(
                Ask("POST", f"{HERE}/mcp", headers=KEY, body={"method": "initialize"}),
                Ask("POST", f"{HERE}/mcp", headers=KEY, body={"method": "notifications/initialized"}),
                Ask("POST", f"{HERE}/mcp", headers=KEY, body={"method": "tools/list"}),
                Ask("DELETE", f"{HERE}/mcp", headers=KEY),
            ),
        ),
    ),
    Statement(
        "MCP HTTP Transport",
        "the endpoint may be an expression",
        call("mcp", "method: tools/list, transport: {http: {endpoint: '${ .where }'}}"),
        Plays({"where": f"{HERE}/mcp"}, output={"tools": []}),
    ),
    Statement(
        "MCP HTTP Transport",
        "the endpoint may be a template",
        call("mcp", f"method: tools/list, transport: {{http: {{endpoint: '{HERE}/{{where}}'}}}}"),
        Plays({"where": "mcp"}, output={"tools": []}),
    ),
    Statement(
        "MCP Transport",
        "options are refused: neither transport has any",
        call("mcp", f"method: tools/list, transport: {{http: {{endpoint: '{HERE}/mcp'}}, options: {{a: b}}}}"),
        Refused("/do/0/c/with/transport/options"),
    ),
    Statement(
        "Default Catalog",
        "name:version@default is found in what the runtime knows",
        call("double:1.0.0@default", "n: 4"),
        Plays(output={"twice": 8}),
    ),
    Statement(
        "Default Catalog",
        "what the runtime does not know is refused",
        call("double:2.0.0@default", "n: 4"),
        Refused("/do/0/c/call"),
    ),
)
