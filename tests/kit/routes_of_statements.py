"""A host of our own, for what the reference says and none of its examples does: it echoes, redirects, fails, and asks who is there."""

import base64
import hashlib
import re
from typing import Any

import orjson

from tests.kit.outside import Answer, Asked, Route

HERE, GITHUB_RAW = "https://kit.example", "https://raw.githubusercontent.com"
REALM, NONCE = "kit", "f00d"
DIGEST = {"username": "ann", "password": "s3cret"}
BYTES = b"\x00\x01\x02"

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Echo", "version": "1"},
    "servers": [{"url": HERE}],
    "paths": {
        "/echo/things/{id}": {
            "get": {
                "operationId": "getThing",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "tag", "in": "query", "schema": {"type": "string"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"description": "what was asked"}},
            }
        },
        "/moved": {"get": {"operationId": "getMoved", "responses": {"302": {"description": "elsewhere"}}}},
    },
}
SCHEMA = {"type": "object", "required": ["id"]}
DOUBLE = b"set: {twice: '${ .n * 2 }'}\n"
SCRIPT = b"print('from afar')\n"
YAML, TEXT = {"content-type": "application/yaml"}, {"content-type": "text/plain"}
ADMIN = {"username": "admin", "password": "1234"}
ISSUER = "https://issuer.example"
LATE_S = 2.0


def _echo(asked: Asked, **_: str) -> Answer:
    said = {"method": asked.method, "path": asked.path, "query": dict(asked.query), "body": asked.body}
    return Answer(200, {**said, "headers": asked.headers})


def _status(asked: Asked, status: str) -> Answer:
    return Answer(int(status), {"status": int(status)})


def _digest(asked: Asked) -> Answer:
    """RFC 7616 with MD5 and `qop=auth`."""
    given = asked.headers.get("authorization", "")
    if not given.startswith("Digest "):
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=MD5'
        return Answer(401, headers={"www-authenticate": challenge})
    said = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', given)}
    who = _md5(f"{DIGEST['username']}:{REALM}:{DIGEST['password']}")
    what = _md5(f"{asked.method}:{said['uri']}")
    expected = _md5(f"{who}:{NONCE}:{said['nc']}:{said['cnonce']}:{said['qop']}:{what}")
    return Answer(200, {"user": said["username"]}) if said["response"] == expected else Answer(403)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _token(asked: Asked) -> Answer:
    return Answer(200, {"access_token": "kit-token", "token_type": "Bearer", "expires_in": 300})


def _token_of_an_issuer(asked: Asked) -> Answer:
    claims = base64.urlsafe_b64encode(orjson.dumps({"iss": ISSUER})).decode().rstrip("=")
    return Answer(200, {"access_token": f"e30.{claims}.x", "token_type": "Bearer", "expires_in": 300})


def _secured(asked: Asked, file: str) -> Answer:
    """What is only for those who know the password."""
    known = base64.b64encode(f"{ADMIN['username']}:{ADMIN['password']}".encode()).decode()
    if asked.headers.get("authorization") != f"Basic {known}":
        return Answer(401)
    return Answer(200, DOCUMENT) if file == "api.json" else Answer(200, SCRIPT, TEXT)


def _mcp(asked: Asked) -> Answer:
    """An MCP server over HTTP with a session; what it says about prompts comes late."""
    message, reply = asked.body, {"jsonrpc": "2.0", "id": asked.body.get("id")}
    if message["method"] == "initialize":
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "kit", "version": "1"}}
        return Answer(200, {**reply, "result": about}, {"mcp-session-id": "s1"})
    if "id" not in message:
        return Answer(202)
    late_s = LATE_S if message["method"] == "prompts/list" else 0.0
    return Answer(200, {**reply, "result": {"tools": []}}, delay_s=late_s)


def _agent(asked: Asked) -> Answer:
    """An A2A agent that answers with the message it got, in three steps where it may, and does not know any task."""
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": asked.body["id"]}
    if asked.body["method"] in ("message/stream", "tasks/resubscribe"):
        steps = [orjson.dumps({**reply, "result": {"step": step}}) for step in range(3)]
        return Answer(
            200, b"".join(b"data: " + step + b"\n\n" for step in steps), {"content-type": "text/event-stream"}
        )
    if asked.body["method"] == "message/send":
        return Answer(200, {**reply, "result": asked.body["params"]})
    return Answer(200, {**reply, "error": {"code": -32001, "message": "Task not found"}})


ROUTES = (
    *(Route(HERE, method, r"/echo(/.*)?", _echo) for method in ("GET", "POST", "PUT")),
    Route(HERE, "GET", r"/status/(?P<status>\d+)", _status),
    Route(HERE, "GET", r"/moved", lambda _: Answer(302, headers={"location": f"{HERE}/status/200"})),
    Route(HERE, "GET", r"/bytes", lambda _: Answer(200, BYTES, {"content-type": "application/octet-stream"})),
    Route(HERE, "GET", r"/digest", _digest),
    Route(HERE, "GET", r"/api\.json", lambda _: Answer(200, DOCUMENT)),
    Route(HERE, "GET", r"/schema\.json", lambda _: Answer(200, SCHEMA)),
    Route(HERE, "GET", r"/script\.py", lambda _: Answer(200, SCRIPT, TEXT)),
    Route(HERE, "GET", r"/secured/(?P<file>api\.json|script\.py)", _secured),
    Route(HERE, "POST", r"(/tenants/t%2F1|/tenants/t/1)?/oauth2/token", _token),
    Route(HERE, "POST", r"/issued/oauth2/token", _token_of_an_issuer),
    Route(
        HERE, "GET", r"/\.well-known/openid-configuration", lambda _: Answer(200, {"token_endpoint": f"{HERE}/oidc"})
    ),
    Route(HERE, "POST", r"/oidc", _token),
    Route(HERE, "POST", r"/a2a", _agent),
    Route(HERE, "POST", r"/mcp", _mcp),
    Route(HERE, "DELETE", r"/mcp", lambda _: Answer(204)),
    Route(HERE, "GET", r"/catalog/functions/double/1\.0\.0/function\.yaml", lambda _: Answer(200, DOUBLE, YAML)),
    Route(
        GITHUB_RAW,
        "GET",
        r"/kit/catalog/refs/heads/main/functions/double/1\.0\.0/function\.yaml",
        lambda _: Answer(200, DOUBLE, YAML),
    ),
)
