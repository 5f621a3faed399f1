"""The embedded NATS server: its streams and its port outlive a kill."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import nats
import pytest

from infra.embedded.nats import EmbeddedNats
from infra.embedded.process import ServerNotStarted, occupants
from infra.embedded.servers import EmbeddedServers

pytestmark = pytest.mark.servers


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def publish(url: str) -> None:
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept.>"], max_bytes=50 * 2**30)
    await stream.publish("kept.one", b"x" * 2_000_000)
    await connection.close()


async def count(url: str) -> int:
    connection = await nats.connect(url)
    info = await connection.jetstream().stream_info("KEPT")
    await connection.close()
    return info.state.messages


class TestAnEmbeddedNats:
    async def test_keeps_its_messages_and_its_url_after_a_kill(self, own_nats: EmbeddedNats) -> None:
        url = own_nats.url
        await publish(url)
        own_nats.kill()
        await until(lambda: not own_nats.alive)
        await own_nats.start()
        assert own_nats.url == url
        assert await count(url) == 1

    async def test_has_the_same_port_in_the_next_run(self, own_nats: EmbeddedNats, tmp_path: Path) -> None:
        url = own_nats.url
        await own_nats.stop()
        again = EmbeddedNats(tmp_path, tmp_path / "log")
        await again.start()
        assert again.url == url
        await again.stop()

    async def test_ends_a_server_that_outlived_its_supervisor(self, own_nats: EmbeddedNats, tmp_path: Path) -> None:
        await publish(own_nats.url)
        successor = EmbeddedNats(tmp_path, tmp_path / "log")
        await successor.start()
        assert not own_nats.alive
        assert successor.url == own_nats.url
        assert await count(successor.url) == 1
        await successor.stop()
        assert occupants(tmp_path / "nats", "nats-server") == []

    async def test_takes_another_port_when_its_own_was_taken_meanwhile(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            (tmp_path / "nats.port").write_text(str(taken.getsockname()[1]))
            server = EmbeddedNats(tmp_path, tmp_path / "log")
            await server.start()
            assert server.url != f"nats://127.0.0.1:{taken.getsockname()[1]}"
            await server.stop()

    async def test_runs_in_a_folder_of_any_name(self, tmp_path: Path) -> None:
        folder = tmp_path / 'Jörg\'s "日本" $HOME'
        folder.mkdir()
        server = EmbeddedNats(folder, folder / "log")
        await server.start()
        await publish(server.url)
        assert list((folder / "nats").rglob("KEPT"))
        await server.stop()


class TestEmbeddedServers:
    async def test_start_side_by_side_and_can_be_erased(self, tmp_path: Path) -> None:
        servers = EmbeddedServers(tmp_path / "data")
        async with servers:
            assert servers.database_url.startswith("postgresql://")
            assert servers.nats_url.startswith("nats://")
        servers.erase()
        assert not servers.folder.path.exists()

    async def test_say_plainly_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        """Folders stand in for a full disk."""
        servers = EmbeddedServers(tmp_path)
        (tmp_path / "nats.conf").mkdir()
        try:
            with pytest.raises(ServerNotStarted, match=r"nats cannot be started: .*nats\.conf.*Is the disk full\?"):
                await servers.start()
        finally:
            servers.erase()
