"""The relay on JetStream: whatever happens to the server, the stream or its files, the stream is the log again."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.adapters.event_stream import FencedOff
from infra.adapters.memory_store import MemoryEventStore
from infra.adapters.nats_stream import NatsEventStream
from infra.cancellation import end
from infra.embedded.nats import EmbeddedNats
from infra.engines.relay import Relay
from infra.settings import Settings
from tests.infra.relay_world import FreeLease, Reader, append, becomes_equal, log_of

pytestmark = pytest.mark.servers
SETTINGS = Settings(mirror_audit_s=0.3, relay_batch_events_max=200)


class World:
    """A log in memory, a NATS server, a relay between them and a consumer of the stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedNats(folder, folder / "log")
        self.store = MemoryEventStore()
        self.lease = FreeLease()
        self.registry = CollectorRegistry()
        self.stream: NatsEventStream
        self.read_from: NatsEventStream
        self.reader: Reader
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "World":
        await self.server.start()
        self.stream = await NatsEventStream.connect(self.server.url, SETTINGS)
        self.read_from = await NatsEventStream.connect(self.server.url, SETTINGS)
        self.reader = Reader(self.store, self.read_from)
        relay = Relay(self.store, self.stream, SETTINGS, self.lease, self.registry)
        self._tasks = [asyncio.create_task(relay.run()), asyncio.create_task(self.reader.run())]
        await append(self.store, 2_000, 100)
        await self.becomes_equal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(*self._tasks)
        await self.stream.close()
        await self.read_from.close()
        await self.server.stop()

    async def becomes_equal(self) -> None:
        await becomes_equal(self.store, self.stream)

    async def goes_on(self) -> None:
        """The stream becomes the log, and the consumer sees each event once and in order."""
        await append(self.store, 300, 100)
        self.stream.wake()
        await self.becomes_equal()
        wanted = await log_of(self.store)
        async with asyncio.timeout(5):
            while len(self.reader.taken) < len(wanted):
                await asyncio.sleep(0.01)
        assert self.reader.taken == wanted

    def heals(self, cause: str) -> float:
        return self.registry.get_sample_value("foldwork_relay_heals_total", {"cause": cause}) or 0

    @contextlib.asynccontextmanager
    async def relay_away(self) -> AsyncIterator[None]:
        self.lease.take_away()
        await asyncio.sleep(0.05)
        yield
        self.lease.free.set()

    async def end_server(self) -> None:
        self.server.kill()
        async with asyncio.timeout(5):
            while self.server.alive:
                await asyncio.sleep(0.01)

    @property
    def files(self) -> Path:
        return self.folder / "nats"

    async def ask(self, verb: str, request: dict[str, object] | None = None) -> None:
        await (await self.stream.client()).api(verb, request)

    async def create(self, config: dict[str, object]) -> None:
        await (await self.stream.client()).create_stream(config)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as running:
        yield running


class TestAServer:
    async def test_that_is_killed_while_events_come_in_gets_them_all(self, world: World) -> None:
        async def write() -> None:
            for _ in range(100):
                await append(world.store, 100, 50)
                world.stream.wake()
                await asyncio.sleep(0.01)

        writing = asyncio.create_task(write())
        for _ in range(2):
            await asyncio.sleep(0.3)
            await world.end_server()
            await world.server.start()
        await writing
        await world.goes_on()

    async def test_that_lost_its_files_gets_them_again(self, world: World) -> None:
        await world.end_server()
        shutil.rmtree(world.files)
        await world.server.start()
        await world.goes_on()
        assert world.heals("gone") == 2  # the first was before it was ever made

    async def test_that_got_an_older_copy_of_its_files_is_brought_up_to_date(self, world: World) -> None:
        await world.end_server()
        shutil.copytree(world.files, world.folder / "copy")
        await world.server.start()
        await world.goes_on()
        await world.end_server()
        shutil.rmtree(world.files)
        (world.folder / "copy").rename(world.files)
        await world.server.start()
        await world.goes_on()
        assert world.heals("tail") >= 1

    async def test_that_lost_the_end_of_a_file_is_brought_up_to_date(self, world: World) -> None:
        await world.end_server()
        for file in (world.files / "jetstream").rglob("msgs/*.blk"):
            with file.open("r+b") as block:
                block.truncate(file.stat().st_size * 2 // 3)
        for index in (world.files / "jetstream").rglob("msgs/index.db"):
            index.unlink()
        await world.server.start()
        await world.goes_on()

    async def test_that_holds_rubbish_in_a_file_is_filled_anew(self, world: World) -> None:
        await world.end_server()
        for file in (world.files / "jetstream").rglob("msgs/*.blk"):
            with file.open("r+b") as block:
                block.seek(file.stat().st_size // 2)
                block.write(b"\0" * 4_096)
        for index in (world.files / "jetstream").rglob("msgs/index.db"):
            index.unlink()
        await world.server.start()
        await world.goes_on()


class TestAStream:
    async def test_that_was_deleted_is_filled_again(self, world: World) -> None:
        await world.ask("STREAM.DELETE.EVENTS_0")
        await world.goes_on()

    async def test_that_somebody_made_again_shorter_is_completed(self, world: World) -> None:
        async with world.relay_away():
            await world.stream.recreate(1)
            await world.stream.publish_batch(await world.store.read(0, 50), 0)
        await world.goes_on()
        assert world.heals("tail") == 1

    async def test_that_somebody_made_in_another_way_is_made_anew(self, world: World) -> None:
        async with world.relay_away():
            await world.ask("STREAM.DELETE.EVENTS_0")
            await world.create({"name": "EVENTS_0", "subjects": ["evt.>"], "storage": "memory"})
        await world.goes_on()
        assert world.heals("config") == 1

    async def test_that_has_a_hole_is_made_anew(self, world: World) -> None:
        async with world.relay_away():
            config = (await (await world.stream.client()).api("STREAM.INFO.EVENTS_0"))["config"]
            await world.ask("STREAM.DELETE.EVENTS_0")
            await world.create({**config, "deny_delete": False, "allow_atomic": True})
            at = 0
            while at < 2_000:
                at = await world.stream.publish_batch(await world.store.read(at, 200), at)
            await world.ask("STREAM.MSG.DELETE.EVENTS_0", {"seq": 700})
        await world.goes_on()
        assert world.heals("holes") == 1

    async def test_that_got_a_message_of_somebody_else_is_made_anew(self, world: World) -> None:
        reply, answer = (await world.stream.client()).expect()
        frame = b"PUB evt.acme.agent.started %b 2\r\n{}\r\n" % reply
        (await world.stream.client()).send(frame)
        assert json.loads(await answer)["seq"] == 2_001
        await world.goes_on()
        assert world.heals("beyond") + world.heals("other") == 1


class TestTwoRelaysAtOnce:
    async def test_publish_each_event_once(self, world: World) -> None:
        other = await NatsEventStream.connect(world.server.url, SETTINGS)
        zombie = asyncio.create_task(Relay(world.store, other, SETTINGS, FreeLease(), CollectorRegistry()).run())
        for _ in range(30):
            await append(world.store, 50, 10)
            world.stream.wake()
            await asyncio.sleep(0.005)
        await world.goes_on()
        await end(zombie)
        await other.close()


class TestAZombie:
    async def test_cannot_publish_what_it_read_before_it_slept(self, world: World) -> None:
        zombie = await NatsEventStream.connect(world.server.url, SETTINGS)
        stale = await world.store.read(1_900, 100)
        await world.goes_on()
        with pytest.raises(FencedOff):
            await zombie.publish_batch(stale, 1_900)
        await world.becomes_equal()
        await zombie.close()


async def test_the_message_of_another_before_a_few_events_is_noticed_and_gone(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        (await world.stream.client()).send(b"PUB evt.acme.agent.started  2\r\n{}\r\n")
        await append(world.store, 3, 3)
        world.stream.wake()
        async with asyncio.timeout(10):
            while not world.heals("other"):
                await asyncio.sleep(0.02)
        await world.becomes_equal()
