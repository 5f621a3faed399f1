"""JetStream's files and stream damaged, at rest and under load: the mirror becomes the log again, and nobody notices more."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from infra.adapters.nats_stream import NatsEventStream
from infra.embedded.nats import EmbeddedNats
from infra.ids import new_id
from infra.settings import Settings
from read_side.demo.client import command
from tests.faults.examination import at_rest, examine, mirror_has_all_so_far, mirror_is_exact
from tests.faults.load import Load
from tests.faults.metrics import samples
from tests.faults.recovery import Probe
from tests.faults.system import BreakableSystem, running_system

pytestmark = [pytest.mark.faults, pytest.mark.servers]

WAIT_S_MAX = 30.0
BACK_S_MAX = 10.0
EVENTS_BETWEEN = 50
CUT = 0.6


@dataclass(slots=True)
class Field:
    """A system whose NATS is the test's to break."""

    system: BreakableSystem
    folder: Path

    @property
    def nats(self) -> EmbeddedNats:
        assert self.system.nats is not None
        return self.system.nats

    @property
    def files(self) -> Path:
        return self.folder / "nats"

    @contextlib.asynccontextmanager
    async def nats_away(self) -> AsyncIterator[None]:
        """NATS killed for the length of the block."""
        self.nats.kill()
        async with asyncio.timeout(WAIT_S_MAX):
            while self.nats.alive:
                await asyncio.sleep(0.01)
        yield
        await self.nats.start()

    async def write_some(self) -> None:
        """Something that the copy does not have; the mirror has it before this ends."""
        async with Load(self.system).sender("between-copies", "somebody") as sender:
            names = (new_id() for _ in range(EVENTS_BETWEEN))
            await sender.send_accepted(
                *(command("CreateAgent", name, agent_id=name, name=name, agent_type="reactive") for name in names)
            )
        await mirror_has_all_so_far(self.system)

    async def heals(self) -> int:
        """How often the relay repaired the stream."""
        return int(sum((await samples(self.system.url("relay"), "foldwork_relay_heals_total")).values()))

    async def delete_folder(self) -> None:
        async with self.nats_away():
            shutil.rmtree(self.files)

    async def delete_stream(self) -> None:
        stream = await NatsEventStream.connect(self.system.nats_url, self.system.settings, "vandal")
        await (await stream.client()).api("STREAM.DELETE.EVENTS_0")
        await stream.close()

    async def truncate(self) -> None:
        async with self.nats_away():
            cut_short(self.files)

    async def restore_older_copy(self) -> None:
        async with self.nats_away():
            shutil.copytree(self.files, self.folder / "copy")
        await self.write_some()
        async with self.nats_away():
            shutil.rmtree(self.files)
            (self.folder / "copy").rename(self.files)


def cut_short(files: Path) -> None:
    """Take the end off every file of messages, and the index that would tell."""
    for block in (files / "jetstream").rglob("msgs/*.blk"):
        with block.open("r+b") as content:
            content.truncate(int(block.stat().st_size * CUT))
    for index in (files / "jetstream").rglob("msgs/index.db"):
        index.unlink()


Damage = Callable[[Field], Awaitable[None]]
DAMAGES = [Field.delete_folder, Field.delete_stream, Field.truncate, Field.restore_older_copy]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def field() -> AsyncIterator[Field]:
    async with running_system(Settings(mirror_audit_s=2.0), own_nats=True) as system:
        load = Load(system)
        async with load.running():
            await load.finish()
        assert system.nats is not None
        yield Field(system, system.folder.path.parent / "nats")


@pytest.mark.asyncio(loop_scope="module")
class TestADamagedMirror:
    @pytest.mark.parametrize("damage", DAMAGES)
    async def test_becomes_the_log_again_and_consumers_go_on(
        self, field: Field, damage: Damage, saw: Callable[[str], None]
    ) -> None:
        await at_rest(field.system)
        healed, began = await field.heals(), time.time()
        await damage(field)
        await mirror_is_exact(field.system)
        at_rest_s = time.time() - began
        healed_at_rest = await field.heals() - healed
        load = Load(field.system)
        async with Probe.of(field.system, load) as probe, load.running(probe.ask(), probe.watch()):
            await probe.recovery_s(time.time(), WAIT_S_MAX)
            await damage(field)
            under_load_s = await probe.recovery_s(time.time(), WAIT_S_MAX)
            await load.finish()
        found = await examine(field.system, load)
        assert await load.failed_checks() == []
        healed_under_load = await field.heals() - healed - healed_at_rest
        saw(
            f"whole {at_rest_s:.1f} s after it began at rest ({healed_at_rest} heals), {under_load_s:.1f} s after it ended"
            f" under load ({healed_under_load} heals); {found}"
        )
        assert healed_at_rest >= 1, "nothing was damaged"
        assert healed_under_load >= 1, "nothing was damaged"
        assert under_load_s <= BACK_S_MAX
