"""News of consumers' positions go to other processes, those of the same moment together."""

from collections.abc import AsyncIterator

import pytest

from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.news import News
from infra.settings import Settings
from tests.infra.test_feed import until

pytestmark = pytest.mark.servers


@pytest.fixture
async def sent(nats_url: str, settings: Settings) -> AsyncIterator[tuple[News, list[bytes]]]:
    """News of one process, and the messages that arrive at another."""
    reader, writer = [await NatsEventStream.connect(nats_url, settings) for _ in range(2)]
    messages: list[bytes] = []
    await reader.hear(f"seen.{settings.shard}", lambda subject, reply, data, headers: messages.append(data))
    await (await reader.client()).api("INFO")
    yield News(writer), messages
    await reader.close()
    await writer.close()


class TestNews:
    async def test_of_the_same_moment_go_in_one_message(self, sent: tuple[News, list[bytes]]) -> None:
        news, messages = sent
        news.announce("board", 3)
        news.announce("timeline", 2)
        news.announce("board", 4)
        await until(lambda: bool(messages))
        assert messages == [b'{"board":4,"timeline":2}']

    async def test_of_another_moment_go_in_another(self, sent: tuple[News, list[bytes]]) -> None:
        news, messages = sent
        news.announce("board", 3)
        await until(lambda: len(messages) == 1)
        news.announce("board", 4)
        await until(lambda: len(messages) == 2)
        assert messages == [b'{"board":3}', b'{"board":4}']

    async def test_are_heard_by_whoever_listens(self, nats_url: str, settings: Settings) -> None:
        reader, writer = [await NatsEventStream.connect(nats_url, settings) for _ in range(2)]
        heard: list[tuple[str, int]] = []
        await News(reader).listen(lambda consumer, position: heard.append((consumer, position)))
        await (await reader.client()).api("INFO")
        News(writer).announce("board", 7)
        await until(lambda: bool(heard))
        assert heard == [("board", 7)]
        await reader.close()
        await writer.close()
