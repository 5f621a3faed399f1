"""An MCP server over standard input and output, as its example starts one: it says what it would post, and who is there."""

import json
import sys
from typing import Any

PROTOCOL = "2025-06-18"


def answer(method: str, parameters: dict[str, Any], greeting: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request: its result, or its error."""
    if method == "initialize":
        about = {"name": "slack", "version": "1"}
        return {"result": {"protocolVersion": PROTOCOL, "capabilities": {"tools": {}}, "serverInfo": about}}
    if not greeting:
        return {"error": {"code": -32002, "message": "not initialized"}}
    tool, given = parameters.get("name"), parameters.get("arguments", {})
    if (method, tool) == ("tools/call", "conversations_add_message"):
        return {"result": {"content": [{"type": "text", "text": f"{given['channel_id']}: {given['payload']}"}]}}
    if (method, tool) == ("tools/call", "who_is_there"):
        return {"result": {"content": [], "structuredContent": greeting}}
    return {"error": {"code": -32602, "message": "there is no such tool"}}


def main() -> None:
    """Answer each request, one JSON text per line; nothing is answered before the client has said hello."""
    greeting: dict[str, Any] = {}
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        parameters = message.get("params") or {}
        greeting = parameters if message["method"] == "initialize" else greeting
        reply = answer(message["method"], parameters, greeting)
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)


if __name__ == "__main__":
    main()
