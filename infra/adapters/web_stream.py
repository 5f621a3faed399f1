"""Answers without an end, over HTTP or a WebSocket: parts go out as they come, until the client leaves or the process stops.

Guarantee: nothing piles up here. The next part is asked for once the one before is in the socket's bounded buffer.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import structlog

from infra.cancellation import end
from infra.errors import Fault

log = structlog.get_logger()

GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013
"""Close codes of RFC 6455 and its registry."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def serve_stream(
    first: bytes,
    parts: AsyncGenerator[bytes, None],
    headers: Sequence[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
    stopping: asyncio.Event,
) -> None:
    """Send the parts of an HTTP answer."""

    async def send_part(part: bytes) -> None:
        await send({"type": "http.response.body", "body": part, "more_body": True})

    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    await send_part(first)
    await _pump(parts, send_part, _until(receive, "http.disconnect"), stopping)
    await send({"type": "http.response.body", "body": b""})


async def serve_socket(
    messages: AsyncGenerator[bytes, None], receive: Receive, send: Send, stopping: asyncio.Event
) -> None:
    """Send messages as texts over an accepted WebSocket; what the client says is not listened to."""

    async def send_message(message: bytes) -> None:
        await send({"type": "websocket.send", "text": message.decode()})

    gone = await _pump(messages, send_message, _until(receive, "websocket.disconnect"), stopping)
    if not gone:
        with suppress(OSError, RuntimeError):
            await send({"type": "websocket.close", "code": GOING_AWAY if stopping.is_set() else TRY_AGAIN_LATER})


async def _until(receive: Receive, kind: str) -> None:
    while (await receive())["type"] != kind:
        pass


async def _pump(
    parts: AsyncGenerator[bytes, None],
    send_part: Callable[[bytes], Awaitable[None]],
    leaving: Coroutine[Any, Any, None],
    stopping: asyncio.Event,
) -> bool:
    """Send part after part until they end, the client leaves (True), or the process stops."""

    async def send_all() -> None:
        async with aclosing(parts) as each:
            async for part in each:
                await send_part(part)

    sending, left = asyncio.create_task(send_all()), asyncio.create_task(leaving)
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((sending, left, stopped), return_when=asyncio.FIRST_COMPLETED)
        return left.done()
    finally:
        await end(sending, left, stopped)
        for task in (sending, left):
            _log_breakdown(None if task.cancelled() else task.exception())


def _log_breakdown(error: BaseException | None) -> None:
    if isinstance(error, Fault):
        log.warning("stream.failed", code=error.code)
    elif error is not None and not isinstance(error, OSError):
        log.error("stream.broke_down", exc_info=error)
