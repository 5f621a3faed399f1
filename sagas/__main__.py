"""The process that reacts: the sagas, their timers and the watch for silent nodes: `python -m sagas`."""

from events.catalog import CATALOG as EVENTS
from infra.engines.command_bus import CommandBus
from infra.engines.liveness import SilenceWatch
from infra.engines.machine import machine, run_consumers
from infra.engines.process import run_process
from infra.engines.saga_runner import SagaRunner
from infra.engines.timers import Timers
from infra.settings import Settings
from sagas.catalog import CATALOG
from write_side.catalog import CATALOG as DECIDERS
from write_side.node import TakeNodeOffline


async def main() -> None:
    settings = Settings()
    async with machine("sagas", settings) as parts:
        bus = CommandBus(parts.store, DECIDERS, EVENTS, settings)
        runners = [SagaRunner(saga, parts.store, bus, EVENTS, settings) for saga in CATALOG]
        timers = Timers(parts.database_url, bus, DECIDERS.commands, settings)
        silence = SilenceWatch(
            parts.database_url,
            bus,
            lambda stream_id, seen_at: TakeNodeOffline(node_id=stream_id.removeprefix("node-"), last_seen_at=seen_at),
            settings,
        )
        await run_consumers(parts, runners, settings.sagas_port, timers.run(), silence.run())


if __name__ == "__main__":
    run_process(main())
