"""The guarded child that checks values against schemas: `python -m infra.expressions.schema_child`; frames and bounds as in `child`."""

import json

from infra.expressions.child import DONE, FAILED, serve
from infra.expressions.failure import ExpressionFailed
from infra.expressions.validation import check


def answer(body: bytes) -> bytes:
    """A request: messages at most, length of the schema, the schema, the value; the answer is a list of messages."""
    messages_max, length = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    try:
        found = check(body[8 : 8 + length], json.loads(body[8 + length :]), messages_max)
    except ExpressionFailed as failed:
        return FAILED + str(failed).encode(errors="replace")
    return DONE + json.dumps(found).encode()


if __name__ == "__main__":
    check(b"true", None, 1)  # loads what it needs while files may still be opened
    serve(answer)
