"""The relay's lease: whatever happens to the active relay, another one goes on within seconds and nothing is published twice."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from infra.adapters.lease import LeaseLost, PostgresLease
from infra.adapters.migrations import migrate
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from infra.embedded.nats import EmbeddedNats
from infra.embedded.postgres import EmbeddedPostgres
from infra.engines.relay import Relay
from infra.settings import Settings
from tests.infra.relay_world import append, becomes_equal

pytestmark = pytest.mark.servers
POLL_S, STALE_S = 0.2, 1.5

HOLDER = f"""
import asyncio, sys
from infra.adapters.lease import PostgresLease
async def main():
    lease = PostgresLease(sys.argv[1], sys.argv[2], poll_s={POLL_S}, stale_s={STALE_S})
    await lease.acquire()
    print("held", flush=True)
    await lease.lost.wait()
    await lease.release()
asyncio.run(main())
"""

RELAY = f"""
import asyncio, sys
from prometheus_client import CollectorRegistry
from infra.adapters.lease import PostgresLease
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from infra.engines.relay import Relay
from infra.settings import Settings
async def main():
    settings = Settings()
    store = await PostgresEventStore.open(sys.argv[1], settings)
    stream = await NatsEventStream.connect(sys.argv[2], settings)
    lease = PostgresLease(sys.argv[1], "relay/0", poll_s={POLL_S}, stale_s={STALE_S})
    print("held", flush=True)
    await Relay(store, stream, settings, lease, CollectorRegistry()).run()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="foldwork-test-"))
    yield path
    EmbeddedPostgres(path, path / "log").erase()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, folder / "log")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path, tmp_path / "log")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program in a process of its own; it says when it has begun."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        started.append(process)
        assert process.stdout is not None
        while process.stdout.readline() != "held\n":
            assert process.poll() is None
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def lease_on(postgres: EmbeddedPostgres, name: str) -> PostgresLease:
    return PostgresLease(postgres.url, name, poll_s=POLL_S, stale_s=STALE_S)


async def new_database(postgres: EmbeddedPostgres) -> str:
    name = f"relay_{uuid4().hex[:8]}"
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    url = psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
    await migrate(url)
    return url


class TestALease:
    async def test_has_one_holder(self, postgres: EmbeddedPostgres) -> None:
        one, other = lease_on(postgres, "one"), lease_on(postgres, "one")
        await one.acquire()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.acquire(), 2 * STALE_S)
        assert other.waiting_well
        await one.confirm()
        await one.release()
        await asyncio.wait_for(other.acquire(), 2)
        await other.release()

    async def test_of_another_name_is_another_lease(self, postgres: EmbeddedPostgres) -> None:
        one, other = lease_on(postgres, "one"), lease_on(postgres, "other")
        await one.acquire()
        await asyncio.wait_for(other.acquire(), 2)
        await one.release()
        await other.release()

    async def test_passes_on_when_the_holder_is_killed(
        self, postgres: EmbeddedPostgres, run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        holder = run(HOLDER, postgres.url, "killed")
        holder.kill()
        lease = lease_on(postgres, "killed")
        await asyncio.wait_for(lease.acquire(), 2)
        await lease.release()

    async def test_passes_on_when_the_holder_is_stopped(
        self, postgres: EmbeddedPostgres, run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        holder = run(HOLDER, postgres.url, "stopped")
        holder.send_signal(signal.SIGSTOP)
        lease = lease_on(postgres, "stopped")
        await asyncio.wait_for(lease.acquire(), STALE_S + 4 * POLL_S + 1)
        holder.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(holder.wait, 5) == 0
        await lease.confirm()
        await lease.release()

    async def test_is_lost_with_postgres_and_found_again(self, postgres: EmbeddedPostgres) -> None:
        lease = lease_on(postgres, "restart")
        await lease.acquire()
        postgres.kill()
        await asyncio.wait_for(lease.lost.wait(), 2)
        with pytest.raises(LeaseLost):
            await lease.confirm()
        await lease.release()
        acquiring = asyncio.create_task(lease.acquire())
        await asyncio.sleep(3 * POLL_S)
        assert not lease.waiting_well
        await postgres.start()
        await asyncio.wait_for(acquiring, 4)
        await lease.release()


class TestAStandbyRelay:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    async def test_takes_over(
        self,
        postgres: EmbeddedPostgres,
        nats: EmbeddedNats,
        run: Callable[..., subprocess.Popen[str]],
        number: signal.Signals,
    ) -> None:
        url, settings = await new_database(postgres), Settings()
        active = run(RELAY, url, nats.url)
        store = await PostgresEventStore.open(url, settings)
        stream = await NatsEventStream.connect(nats.url, settings)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        lease = PostgresLease(url, "relay/0", poll_s=POLL_S, stale_s=STALE_S)
        standby = asyncio.create_task(Relay(store, stream, settings, lease, CollectorRegistry()).run())
        await append(store, 500, 50)
        active.send_signal(number)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        active.send_signal(signal.SIGCONT)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        standby.cancel()
        await asyncio.gather(standby, return_exceptions=True)
        await stream.close()
        await store.close()

    @pytest.mark.parametrize("point", ["relay.after_read:4", "relay.mid_batch:3", "relay.after_publish:3"])
    async def test_takes_over_from_one_that_died_at(
        self, postgres: EmbeddedPostgres, nats: EmbeddedNats, run: Callable[..., subprocess.Popen[str]], point: str
    ) -> None:
        url, settings = await new_database(postgres), Settings()
        active = run(RELAY, url, nats.url, FOLDWORK_CRASH_POINT=point)
        store = await PostgresEventStore.open(url, settings)
        stream = await NatsEventStream.connect(nats.url, settings)
        async with asyncio.timeout(8):
            while active.poll() is None:
                await append(store, 50, 50)
                await asyncio.sleep(0.02)
        assert active.returncode == -signal.SIGKILL
        lease = PostgresLease(url, "relay/0", poll_s=POLL_S, stale_s=STALE_S)
        standby = asyncio.create_task(Relay(store, stream, settings, lease, CollectorRegistry()).run())
        await becomes_equal(store, stream)
        standby.cancel()
        await asyncio.gather(standby, return_exceptions=True)
        await stream.close()
        await store.close()
