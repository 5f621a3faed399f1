"""A small MCP server over pipes, for tests: run as a program, with the way to behave as its argument."""

import json
import os
import sys
import time

HOW = sys.argv[1] if len(sys.argv) > 1 else "well"


def send(message: dict[str, object]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def main() -> None:
    initialized = False
    print("starting", file=sys.stderr)
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        if method == "initialize":
            if HOW == "silent":
                time.sleep(60)
            send({"id": number, "result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}})
        elif method == "notifications/initialized":
            initialized = True
        elif method and HOW == "dies":
            sys.exit(7)
        elif method == "tools/call":
            print("this line is no message")
            send({"method": "notifications/progress", "params": {"progress": 1}})
            send({"id": "p", "method": "ping"})
            assert json.loads(sys.stdin.readline()) == {"jsonrpc": "2.0", "id": "p", "result": {}}
            text = f"{message['params']['arguments']['text']} {os.environ.get('NAME')} {initialized}"
            send({"id": number, "result": {"content": [{"type": "text", "text": text}]}})
        elif method:
            send({"id": number, "error": {"code": -32601, "message": f"no {method}"}})


if __name__ == "__main__":
    main()
