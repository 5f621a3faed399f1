"""Following the log as a program of a user's does: each event whole, whatever its text."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import orjson
import pytest

from foldwork import event_tail, subscribe

pytestmark = pytest.mark.outside
TEXT = "one\u2028event\u2029on one\x85line, \u00e9 cut in two"


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What the query API sends, byte after byte."""
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    event = {"position": 5, "type": "task.started", "subject": "task-a", "data": {"text": TEXT}}
    sent = head + b"retry: 1000\n: at 4\nid: 4\n\n" + b"id: 5\nevent: task.started\ndata: %b\n\n" % orjson.dumps(event)
    for number in range(len(sent)):
        writer.write(sent[number : number + 1])
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = await asyncio.start_server(_send, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


class TestAnEventThatIsFollowed:
    async def test_is_whole_whatever_its_text(self, url: str) -> None:
        async with contextlib.aclosing(subscribe(url)) as events:
            event = await anext(events)
        assert (event.position, event.type, event.data) == (5, "task.started", {"text": TEXT})


class TestAnOutage:
    async def test_is_told_of_once_with_its_end(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "foldwork")
        monkeypatch.setattr(event_tail, "PAUSE_S_MAX", 0.2)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        following = asyncio.ensure_future(anext(subscribe(f"http://ada:secret@127.0.0.1:{port}")))
        await asyncio.sleep(0.8)
        place = f"http://127.0.0.1:{port}"
        [told] = caplog.messages
        assert told.startswith(f"the query API does not answer at {place}, and is tried again: ")
        async with await asyncio.start_server(_send, "127.0.0.1", port):
            assert (await following).position == 5
        assert caplog.messages[1:] == [f"the query API answers again at {place}"]
