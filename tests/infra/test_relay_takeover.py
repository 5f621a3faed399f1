"""The relay's lease: whatever happens to the active relay, another one goes on within seconds and nothing is published twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from infra.adapters.lease import LeaseLost, LeaseSession, PostgresLease, while_held
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.postgres_store import PostgresEventStore
from infra.cancellation import end
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


def lease_on(database_url: str, name: str, session: LeaseSession | None = None) -> PostgresLease:
    return PostgresLease(database_url, name, poll_s=POLL_S, stale_s=STALE_S, session=session)


class TestALease:
    async def test_has_one_holder(self, database_url: str) -> None:
        one, other = lease_on(database_url, "one"), lease_on(database_url, "one")
        await one.acquire()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.acquire(), 2 * STALE_S)
        assert other.waiting_well
        await one.confirm()
        await one.release()
        await asyncio.wait_for(other.acquire(), 2)
        await other.release()

    async def test_of_another_name_is_another_lease(self, database_url: str) -> None:
        one, other = lease_on(database_url, "one"), lease_on(database_url, "other")
        await one.acquire()
        await asyncio.wait_for(other.acquire(), 2)
        await one.release()
        await other.release()

    async def test_shares_a_connection_with_others_of_its_process(self, database_url: str) -> None:
        session = LeaseSession(database_url)
        one, two = lease_on(database_url, "one", session), lease_on(database_url, "two", session)
        other_one, other_two = lease_on(database_url, "one"), lease_on(database_url, "two")
        await asyncio.gather(one.acquire(), two.acquire())
        await one.release()
        await asyncio.wait_for(other_one.acquire(), 2)
        await two.confirm()
        await (await session.connection()).close()
        await asyncio.wait_for(two.lost.wait(), 2)
        await asyncio.wait_for(other_two.acquire(), 2)
        for lease in (two, other_one, other_two):
            await lease.release()
        await asyncio.wait_for(asyncio.gather(one.acquire(), two.acquire()), 2)
        await asyncio.gather(one.release(), two.release())
        await session.close()

    async def test_is_lost_with_a_connection_that_is_dropped_for_another(self, database_url: str) -> None:
        session = LeaseSession(database_url)
        one, two = lease_on(database_url, "one", session), lease_on(database_url, "two", session)
        await asyncio.gather(one.acquire(), two.acquire())
        confirming = [asyncio.create_task(lease.confirm()) for lease in (one, two)]
        await asyncio.sleep(0)
        await session.close()
        outcomes = await asyncio.gather(*confirming, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LeaseLost, LeaseLost]
        await asyncio.wait_for(asyncio.gather(one.lost.wait(), two.lost.wait()), 2)
        await asyncio.gather(one.release(), two.release())

    async def test_passes_on_when_the_holder_is_killed(
        self, database_url: str, run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        holder = run(HOLDER, database_url, "killed")
        holder.kill()
        lease = lease_on(database_url, "killed")
        await asyncio.wait_for(lease.acquire(), 2)
        await lease.release()

    async def test_passes_on_when_the_holder_is_stopped(
        self, database_url: str, run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        holder = run(HOLDER, database_url, "stopped")
        holder.send_signal(signal.SIGSTOP)
        lease = lease_on(database_url, "stopped")
        await asyncio.wait_for(lease.acquire(), STALE_S + 4 * POLL_S + 1)
        holder.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(holder.wait, 5) == 0
        await lease.confirm()
        await lease.release()

    async def test_is_lost_with_postgres_and_found_again(self, postgres: EmbeddedPostgres) -> None:
        lease = lease_on(postgres.url, "restart")
        await lease.acquire()
        postgres.kill()
        await asyncio.wait_for(lease.lost.wait(), 2)
        with pytest.raises(LeaseLost):
            await lease.confirm()
        await lease.release()
        acquiring = asyncio.create_task(lease.acquire())
        await asyncio.sleep(3 * POLL_S)
        assert not lease.waiting_well
        async with asyncio.timeout(5):
            while postgres.alive:
                await asyncio.sleep(0.01)
        await postgres.start()
        await asyncio.wait_for(acquiring, 4)
        await lease.release()


class TestWorkUnderALease:
    async def test_ends_with_the_lease_although_its_cancellation_got_lost(self, database_url: str) -> None:
        async def deaf() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)

        lease = lease_on(database_url, "worked for")
        await lease.acquire()
        working = asyncio.create_task(while_held(lease, deaf()))
        await asyncio.sleep(0.01)
        await lease.release()
        async with asyncio.timeout(5):
            with pytest.raises(LeaseLost):
                await working


class TestAStandbyRelay:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    async def test_takes_over(
        self,
        database_url: str,
        nats_url: str,
        run: Callable[..., subprocess.Popen[str]],
        number: signal.Signals,
    ) -> None:
        settings = Settings()
        active = run(RELAY, database_url, nats_url)
        store = await PostgresEventStore.open(database_url, settings)
        stream = await NatsEventStream.connect(nats_url, settings)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        lease = lease_on(database_url, "relay/0")
        standby = asyncio.create_task(Relay(store, stream, settings, lease, CollectorRegistry()).run())
        await append(store, 500, 50)
        active.send_signal(number)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        active.send_signal(signal.SIGCONT)
        await append(store, 500, 50)
        await becomes_equal(store, stream)
        await end(standby)
        await stream.close()
        await store.close()

    @pytest.mark.parametrize("point", ["relay.after_read:4", "relay.mid_batch:3", "relay.after_publish:3"])
    async def test_takes_over_from_one_that_died_at(
        self, database_url: str, nats_url: str, run: Callable[..., subprocess.Popen[str]], point: str
    ) -> None:
        settings = Settings()
        active = run(RELAY, database_url, nats_url, FOLDWORK_CRASH_POINT=point)
        store = await PostgresEventStore.open(database_url, settings)
        stream = await NatsEventStream.connect(nats_url, settings)
        async with asyncio.timeout(8):
            while active.poll() is None:
                await append(store, 50, 50)
                await asyncio.sleep(0.02)
        assert active.returncode == -signal.SIGKILL
        lease = lease_on(database_url, "relay/0")
        standby = asyncio.create_task(Relay(store, stream, settings, lease, CollectorRegistry()).run())
        await becomes_equal(store, stream)
        await end(standby)
        await stream.close()
        await store.close()
