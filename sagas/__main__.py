"""The process that reacts: the sagas, their timers, the calls of runs and the watch for silent nodes: `python -m sagas`."""

from events.catalog import CATALOG as EVENTS
from infra.calls.call import open_resources
from infra.engines.command_bus import CommandBus
from infra.engines.liveness import Arrivals, SilenceWatch
from infra.engines.machine import machine, run_consumers
from infra.engines.notice_publisher import publishers
from infra.engines.performer import Performer
from infra.engines.process import run_process
from infra.engines.saga_runner import SagaRunner
from infra.engines.timers import Timers
from infra.engines.work_offers import WorkOffers
from infra.functions import installed
from infra.settings import Settings
from sagas.carry_out_calls_on_run_task import CARRY_OUT_CALLS_ON_RUN_TASK
from sagas.catalog import CATALOG
from sagas.offer_tasks_on_assignment import OFFER_TASKS_ON_ASSIGNMENT
from sagas.performing import Calls, Secrets, call_settings
from sagas.publish_lifecycle_on_run_event import PUBLISH_LIFECYCLE_ON_RUN_EVENT
from sagas.take_nodes_offline_on_silence import ARRIVALS, take_node_offline
from write_side.catalog import CATALOG as DECIDERS


async def main() -> None:
    settings = Settings()
    async with machine("sagas", settings) as parts, open_resources(call_settings(settings)) as resources:
        bus = CommandBus(parts.store, DECIDERS, EVENTS, settings)
        runners = [SagaRunner(saga, parts.store, bus, EVENTS, settings) for saga in CATALOG]
        calls = Calls(bus, resources, Secrets(settings.secrets_dir), installed())
        performer = Performer(CARRY_OUT_CALLS_ON_RUN_TASK, calls.perform, parts.store, bus, EVENTS, settings)
        offers = WorkOffers(OFFER_TASKS_ON_ASSIGNMENT, parts.store, parts.work, EVENTS, settings)
        timers = Timers(parts.database_url, bus, DECIDERS.commands, settings)
        told, seen = publishers(PUBLISH_LIFECYCLE_ON_RUN_EVENT, parts, EVENTS), Arrivals(*ARRIVALS)
        others = timers.run(), SilenceWatch(parts.database_url, bus, take_node_offline, settings).run(), offers.watch()
        await run_consumers(parts, [*runners, performer, offers, *told, seen], settings.sagas_port, *others)


if __name__ == "__main__":
    run_process(main())
