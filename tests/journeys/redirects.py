"""A host that sends its callers elsewhere, where they may not go, by its answers or by the documents that it has."""

import http.server
import json
from typing import Any

ELSEWHERE = {"/away": "http://169.254.169.254/latest/meta-data/", "/file": "file:///etc/passwd"}


DOCUMENTS = "/servers/"
"""Below it are AsyncAPI documents, of the server that the path names: `/servers/ws/example.com`."""


def asyncapi(protocol: str, host: str) -> dict[str, Any]:
    """A document of one server, with one channel, `/away`."""
    operation = {"action": "send", "channel": {"$ref": "#/channels/away"}}
    return {
        "asyncapi": "3.0.0",
        "servers": {"one": {"host": host, "protocol": protocol}},
        "channels": {"away": {"address": "/away"}},
        "operations": {"say": operation, "hear": {**operation, "action": "receive"}},
    }


def asyncapi_calls(origin: str, place: str) -> list[dict[str, Any]]:
    """The tasks that publish to a server, `ws/example.com`, and take a message of it; its document is at an origin."""
    document = {"endpoint": origin + DOCUMENTS + place}
    says, hears = {"message": {"payload": {}}}, {"subscription": {"consume": {"amount": 1}}}
    return [
        {"call": "asyncapi", "with": {"document": document, "operation": "say", **says}},
        {"call": "asyncapi", "with": {"document": document, "operation": "hear", **hears}},
    ]


class Redirects(http.server.BaseHTTPRequestHandler):
    """A host that the operator allowed, and that sends elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(302 if self.path in ELSEWHERE else 200)
        if self.path in ELSEWHERE:
            self.send_header("Location", ELSEWHERE[self.path])
        content = b""
        if self.path.startswith(DOCUMENTS):
            protocol, _, host = self.path.removeprefix(DOCUMENTS).partition("/")
            content = json.dumps(asyncapi(protocol, host)).encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
