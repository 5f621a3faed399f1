"""The process that publishes the log on JetStream: `python -m infra relay`."""

import sys

from infra.adapters.lease import PostgresLease
from infra.engines.machine import machine
from infra.engines.process import run_process, run_together
from infra.engines.relay import Relay
from infra.settings import Settings
from infra.telemetry import serve_health


async def relay() -> None:
    settings = Settings()
    async with machine("relay", settings) as parts:
        lease = PostgresLease(parts.database_url, f"relay-{settings.shard}", poll_s=settings.consumer_lease_poll_s)
        publisher = Relay(parts.store, parts.stream, settings, lease, parts.registry)
        async with serve_health(
            settings.relay_port, lambda: publisher.ready, registry=parts.registry, host=settings.host
        ):
            await run_together(publisher.run(), died=parts.store.died)


if __name__ == "__main__":
    if sys.argv[1:] != ["relay"]:
        sys.exit("usage: python -m infra relay")
    run_process(relay())
