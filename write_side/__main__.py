"""The process that decides: `python -m write_side` serves the command API, over HTTP and NATS."""

from events.catalog import CATALOG as EVENTS
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_server import serve
from infra.engines.command_bus import CommandBus
from infra.engines.liveness import Liveness
from infra.engines.machine import machine
from infra.engines.process import run_process, run_together
from infra.settings import Settings
from write_side.api import CommandEdge, create_application
from write_side.catalog import CATALOG
from write_side.commands_over_nats import CommandsOverNats


async def main() -> None:
    settings = Settings()
    async with machine("write_side", settings) as parts:
        bus = CommandBus(parts.store, CATALOG, EVENTS, settings)
        liveness, metrics = Liveness(parts.database_url, settings), WebMetrics(parts.registry)
        edge = CommandEdge(bus, CATALOG, liveness, settings, metrics)
        over_nats = CommandsOverNats(edge, parts.nats_url, settings)
        application = create_application(edge, parts.store.head, metrics, over_nats.routes())
        await run_together(
            serve(application, settings.host, settings.command_port),
            over_nats.run(),
            liveness.run(),
            died=parts.store.died,
        )


if __name__ == "__main__":
    run_process(main())
