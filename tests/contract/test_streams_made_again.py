"""A JetStream stream that is made again while the server still takes away what a deleted one of its name has left."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.adapters import nats_client
from infra.adapters.event_stream import StreamRefused
from infra.adapters.nats_client import StreamClient
from infra.embedded.nats import EmbeddedNats

pytestmark = pytest.mark.servers
CONFIG = {"name": "KEPT", "subjects": ["kept.>"], "storage": "file"}


@pytest.fixture
async def client(own_nats: EmbeddedNats) -> AsyncIterator[StreamClient]:
    connected = StreamClient(lambda _: None)
    await connected.open(own_nats.url, "test")
    await connected.api("STREAM.CREATE.KEPT", CONFIG)
    await connected.jetstream().publish("kept.one", b"1")
    yield connected
    await connected.close()


def folder_of_stream(folder: Path) -> Path:
    (found,) = folder.rglob("streams/KEPT")
    return found


def left_over(folder: Path) -> Path:
    """What the server leaves of a deleted stream until it is taken away: the stream's folder, renamed."""
    left = folder_of_stream(folder).parent / ".KEPT"
    left.mkdir()
    (left / "1.blk").write_bytes(b"x")
    return left


async def messages(client: StreamClient) -> int:
    return int((await client.api("STREAM.INFO.KEPT"))["state"]["messages"])


async def test_the_server_gives_a_stream_its_old_messages_back(client: StreamClient, tmp_path: Path) -> None:
    """If this fails, a newer server has mended it, and `replace_stream` can be simpler."""
    left_over(tmp_path)
    await client.api("STREAM.DELETE.KEPT")
    await client.api("STREAM.CREATE.KEPT", CONFIG)
    assert await messages(client) == 1


async def test_a_stream_is_empty_however_often_it_was_deleted(client: StreamClient, tmp_path: Path) -> None:
    left = left_over(tmp_path)
    replaced = asyncio.create_task(client.replace_stream(CONFIG))
    await asyncio.sleep(0.3)
    assert not replaced.done()
    shutil.rmtree(left)
    await asyncio.wait_for(replaced, 3)
    assert await messages(client) == 0


async def test_it_is_said_when_old_messages_come_back_each_time(
    client: StreamClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "_CREATE_S_MAX", 0.2)
    left_over(tmp_path)
    with pytest.raises(StreamRefused, match="come back"):
        await client.replace_stream(CONFIG)


async def delete(client: StreamClient, folder: Path) -> None:
    """Delete the stream and put a file where its folder has to be; the server takes that away when it stumbles over it."""
    found = folder_of_stream(folder)
    (found.parent / "else").write_bytes(b"")  # keeps the folder of all streams
    await client.api("STREAM.DELETE.KEPT")
    found.write_bytes(b"")


async def test_a_stream_is_asked_for_again_if_there_was_no_room_for_it(client: StreamClient, tmp_path: Path) -> None:
    await delete(client, tmp_path)
    made = await asyncio.wait_for(client.create_stream(CONFIG), 3)
    assert made["state"]["messages"] == 0


async def test_a_stream_is_asked_for_again_for_a_bounded_time_only(
    client: StreamClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "_CREATE_S_MAX", -1.0)
    await delete(client, tmp_path)
    with pytest.raises(StreamRefused, match="10049"):
        await client.create_stream(CONFIG)
