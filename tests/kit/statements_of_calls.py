"""Statements of the reference about calls and processes, each with a small definition that the running system plays."""

import base64

from tests.kit.example import Ask, Plays, Refused, Statement
from tests.kit.routes import CLIENT, FILES
from tests.kit.routes_of_statements import BYTES, DIGEST, HERE
from tests.write_side.dsl_case import STANDARD

IN_BASE_64 = base64.b64encode(BYTES).decode()
DOCUMENT = f"document: {{endpoint: '{HERE}/api.json'}}"
WHO = f"username: {DIGEST['username']}, password: {DIGEST['password']}"
OAUTH2 = f"authority: '{HERE}', client: {{id: kit, secret: s3cret%s}}"
TOOL = "method: tools/call, parameters: {name: %s}, transport: {stdio: {command: npx}}"
SECRET_ID = "${ $secrets.mySecret.client.id }"
FAILED = f"{STANDARD}runtime"


def http(path: str, more: str = "", behind: str = "") -> str:
    """A call of our host."""
    return f"do: [{{c: {{call: http, with: {{method: get, endpoint: '{HERE}{path}'{more}}}{behind}}}}}]"


def call(function: str, arguments: str, behind: str = "") -> str:
    return f"do: [{{c: {{call: {function}, with: {{{arguments}}}{behind}}}}}]"


def grpc(method: str, arguments: str, more: str = "") -> str:
    """A call of the service of the example that speaks gRPC."""
    service = f"{{name: GreeterApi.Greeter, host: localhost, port: 5011{more}}}"
    proto = f"{{endpoint: '{FILES}/greet.proto'}}"
    return call("grpc", f"proto: {proto}, service: {service}, method: {method}, arguments: {{{arguments}}}")


def secured(policy: str, path: str = "/echo", behind: str = "") -> str:
    arguments = f"method: get, endpoint: {{uri: '{HERE}{path}', authentication: {{{policy}}}}}"
    return call("http", arguments, behind)


def run(what: str, more: str = "") -> str:
    return f"do: [{{r: {{run: {{{what}{more}}}}}}}]"


def shell(more: str) -> str:
    return run("shell: {command: 'echo out; echo err >&2; exit 0'}", more)


def failed(status: int) -> dict[str, object]:
    """An error of a call that was answered with this status."""
    return {"status": status, "instance": "/do/0/c"}


STATEMENTS = (
    Statement(
        "HTTP Call",
        "output: raw yields the content in base 64",
        http("/bytes", ", output: raw"),
        Plays(output=IN_BASE_64),
    ),
    Statement(
        "HTTP Call", "without redirect a status outside 200-299 is an error", http("/moved"), Plays(error=failed(302))
    ),
    Statement(
        "HTTP Call", "with redirect a status of 300-399 is no error", http("/moved", ", redirect: true"), Plays()
    ),
    Statement(
        "HTTP Call",
        "with redirect a status outside 200-399 is an error",
        http("/status/404", ", redirect: true"),
        Plays(error=failed(404)),
    ),
    Statement(
        "HTTP Call",
        "headers, query and body reach the service",
        call(
            "http",
            f"method: post, endpoint: '{HERE}/echo', "
            "headers: {X-Trace: '${ .t }'}, query: {q: '${ .q }'}, body: {n: '${ .n }'}",
        ),
        Plays(
            {"t": "t1", "q": "a b", "n": 7},
            output={"method": "POST", "query": {"q": "a b"}, "body": {"n": 7}, "headers": {"x-trace": "t1"}},
        ),
    ),
    Statement(
        "HTTP Response",
        "content that cannot be read is in base 64",
        http("/bytes", ", output: response"),
        Plays(output={"content": IN_BASE_64}),
    ),
    Statement(
        "Supported Protocols",
        "a problem during a call is an error of communication",
        http("/status/503"),
        Plays(error=failed(503)),
    ),
    Statement(
        "OpenAPI Call",
        "output: raw yields the content in base 64",
        call(
            "openapi", f"{DOCUMENT}, operationId: getThing, parameters: {{id: 7}}, output: raw", ", output: {as: type}"
        ),
        Plays(output="string"),
    ),
    Statement(
        "OpenAPI Call",
        "without redirect a status outside 200-299 is an error",
        call("openapi", f"{DOCUMENT}, operationId: getMoved"),
        Plays(error=failed(302)),
    ),
    Statement(
        "OpenAPI Call",
        "with redirect a status of 300-399 is no error",
        call("openapi", f"{DOCUMENT}, operationId: getMoved, redirect: true"),
        Plays(),
    ),
    Statement(
        "OpenAPI Call",
        "parameters go where the document says",
        call("openapi", f"{DOCUMENT}, operationId: getThing, parameters: {{id: 7, tag: x, X-Trace: t1}}"),
        Plays(output={"path": "/echo/things/7", "query": {"tag": "x"}, "headers": {"x-trace": "t1"}}),
    ),
    Statement(
        "Authentication",
        "a policy that is declared is used by its name",
        f"use: {{authentications: {{staff: {{bearer: {{token: t0}}}}}}}}\n{secured('use: staff')}",
        Plays(output={"headers": {"authorization": "Bearer t0"}}),
    ),
    Statement(
        "Digest Authentication",
        "name and password answer the challenge",
        secured(f"digest: {{{WHO}}}", "/digest"),
        Plays(output={"user": "ann"}),
    ),
    Statement(
        "OAUTH2 Authentication",
        "by default a form goes to /oauth2/token below the authority",
        secured(f"oauth2: {{{OAUTH2 % ''}, grant: client_credentials, scopes: [a, b]}}"),
        Plays(
            output={"headers": {"authorization": "Bearer kit-token"}},
            asks=(
                Ask(
                    "POST", f"{HERE}/oauth2/token", body={"client_id": "kit", "client_secret": "s3cret", "scope": "a b"}
                ),
            ),
        ),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a client may be authenticated by a header",
        secured(f"oauth2: {{{OAUTH2 % ', authentication: client_secret_basic'}, grant: client_credentials}}"),
        Plays(
            asks=(
                Ask(
                    "POST",
                    f"{HERE}/oauth2/token",
                    headers={"authorization": "Basic " + base64.b64encode(b"kit:s3cret").decode()},
                ),
            )
        ),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a token may be asked for in JSON, with a user's name and password",
        secured(f"oauth2: {{{OAUTH2 % ''}, grant: password, {WHO}, request: {{encoding: application/json}}}}"),
        Plays(
            asks=(
                Ask(
                    "POST",
                    f"{HERE}/oauth2/token",
                    headers={"content-type": "application/json"},
                    body={"grant_type": "password", **DIGEST},
                ),
            )
        ),
    ),
    Statement(
        "Authorization Descriptor",
        "a call's output may not hold its credentials: they would be in an event",
        secured("bearer: {token: t0}", behind=", output: {as: '$authorization | [.scheme, .parameter]'}"),
        Refused("/do/0/c/output/as"),
    ),
    Statement(
        "Secret",
        "a secret that is not there is an error of authorization",
        "use: {secrets: [nobodys]}\n" + http("/echo", ", headers: {x-secret: '${ $secrets.nobodys }'}"),
        Plays(error={"type": f"{STANDARD}authorization", "status": 403}),
    ),
    Statement(
        "MCP Call",
        "the version of the protocol is 2025-06-18 by default",
        call("mcp", TOOL % "who_is_there"),
        Plays(output={"structuredContent": {"protocolVersion": "2025-06-18"}}),
    ),
    Statement(
        "MCP Call", "a failure is an error of the runtime", call("mcp", TOOL % "nothing"), Plays(error={"type": FAILED})
    ),
    Statement(
        "MCP Client",
        "the client has the name and the version that it is given",
        call("mcp", TOOL % "who_is_there" + ", client: {name: kit, version: 1.2.3}"),
        Plays(output={"structuredContent": {"clientInfo": {"name": "kit", "version": "1.2.3"}}}),
    ),
    Statement(
        "gRPC Call",
        "a policy may be named, and its secrets are those of the workflow",
        f"use: {{secrets: [mySecret], authentications: {{staff: {{bearer: {{token: '{SECRET_ID}'}}}}}}}}\n"
        + grpc("Recognize", "", ", authentication: {use: staff}"),
        Plays(output={"message": f"Bearer {CLIENT['client_id']}"}),
    ),
    Statement(
        "gRPC Call",
        "a method that streams its answers yields their list",
        grpc("Count", "times: 2"),
        Plays(output=[{"message": "0"}, {"message": "1"}]),
    ),
    Statement(
        "gRPC Call",
        "a failure is one of the communication, with the HTTP status that fits",
        grpc("Fail", "name: NOT_FOUND"),
        Plays(error=failed(404) | {"title": "Not found"}),
    ),
    Statement(
        "A2A Call",
        "a message has an id, and is the user's by default",
        call(
            "a2a",
            f"server: '{HERE}/a2a', method: message/send, parameters: {{message: {{parts: []}}}}",
            ", output: {as: '.message | [.role, (.messageId | type)]'}",
        ),
        Plays(output=["user", "string"]),
    ),
    Statement(
        "A2A Call",
        "a failure is an error of the runtime",
        call("a2a", f"server: '{HERE}/a2a', method: tasks/get, parameters: {{id: x}}"),
        Plays(error={"type": FAILED}),
    ),
    Statement("Run", "return is stdout by default", shell(""), Plays(output="out\n")),
    Statement("Run", "return: stderr yields what went to stderr", shell(", return: stderr"), Plays(output="err\n")),
    Statement("Run", "return: code yields the exit code", shell(", return: code"), Plays(output=0)),
    Statement("Run", "return: none yields nothing", shell(", return: none"), Plays(output=None)),
    Statement(
        "Process Result",
        "a result has code, stdout and stderr",
        shell(", return: all"),
        Plays(output={"code": 0, "stdout": "out\n", "stderr": "err\n"}),
    ),
    Statement(
        "Shell Process",
        "environment reaches the command",
        run("shell: {command: 'echo $WHO', environment: {WHO: '${ .who }'}}"),
        Plays({"who": "ann"}, output="ann\n"),
    ),
    Statement(
        "Script Process",
        "a script in Python runs",
        run(
            "script: {language: python, code: 'import sys; print(sys.argv[1], sys.stdin.read())', arguments: [a], stdin: '${ .b }'}"
        ),
        Plays({"b": "b"}, output="a b\n"),
    ),
    Statement(
        "Script Process",
        "the source of a script may be somewhere else",
        run(f"script: {{language: python, source: {{endpoint: '{HERE}/script.py'}}}}"),
        Plays(output="from afar\n"),
    ),
)
