"""JSON-RPC 2.0 over HTTP, as MCP and A2A speak it: the answer is one JSON document or a stream of server-sent events."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
import orjson
from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed
from infra.calls.exchange import Answer, exchange, without
from infra.calls.http_call import IDEMPOTENCY_KEY, HttpRequest, prepared

EVENT_STREAM = "text/event-stream"
Message = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came back, None if the answer was empty (202, 204); `secrets` are those of the request."""

    headers: httpx.Headers
    message: Message | None
    secrets: tuple[str, ...]


def request_of(method: str, parameters: JsonValue, number: int | str) -> Message:
    """A request; without `params` if there are none."""
    message: Message = {"jsonrpc": "2.0", "id": number, "method": method}
    return message if parameters is None else message | {"params": parameters}


def result_of(message: Message, secrets: tuple[str, ...]) -> JsonValue:
    """The result in an answer; CallFailed("runtime") if it is an error."""
    error = message.get("error")
    if isinstance(error, dict):
        shown = without(secrets, f"The server answered with error {error.get('code')}: {error.get('message')}")
        raise CallFailed("runtime", shown, title="The server answered with an error")
    if "result" not in message:
        raise CallFailed("runtime", "The server's answer holds neither a result nor an error.", in_doubt=True)
    return message["result"]


async def post(
    url: httpx.URL,
    message: Message,
    headers: Mapping[str, str],
    policy: Arguments | None,
    context: CallContext,
) -> AsyncGenerator[Received, None]:
    """Send a message and give each one that comes back; one without a message if the answer is empty."""
    # One call sends several messages: each has a key of its own.
    own = {"Accept": f"application/json, {EVENT_STREAM}", IDEMPOTENCY_KEY: f"{context.key}/{message['method']}"}
    given = {name.lower() for name in headers}
    sent = {name: value for name, value in own.items() if name.lower() not in given} | dict(headers)
    body: JsonValue = message
    request = await prepared(HttpRequest("POST", url, sent, (), body, policy), context)
    async with exchange(request, context) as answer:
        if not 200 <= answer.status < 300:
            raise await answer.failure()
        try:
            if answer.media_type == EVENT_STREAM:
                async for data in _events(answer):
                    yield Received(answer.headers, _message(data), request.secrets)
                return
            content = await answer.body()
            yield Received(answer.headers, _message(content) if content.strip() else None, request.secrets)
        except CallFailed as unusable:
            unusable.in_doubt = True
            raise


def _message(text: bytes) -> Message:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        raise CallFailed("communication", "The server's answer is no JSON.") from wrong
    if not isinstance(found, dict):
        raise CallFailed("communication", "The server's answer is no JSON-RPC message.")
    return found


async def _events(answer: Answer) -> AsyncIterator[bytes]:
    """The data of each server-sent event (HTML Living Standard, section 9.2)."""
    waiting: list[bytes] = []
    data: list[bytes] = []
    async for piece in answer.pieces():
        waiting.append(piece)
        if b"\n" not in piece:
            continue
        # A line may end in CR, LF or both; a CR at the end of a piece may be half of both.
        *lines, rest = b"".join(waiting).replace(b"\r\n", b"\n").split(b"\n")
        waiting = [rest]
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif not line.rstrip(b"\r") and data:
                yield b"\n".join(data)
                data = []
