"""The process that decides: `python -m write_side` serves the command API."""

from events.catalog import CATALOG as EVENTS
from infra.adapters.web_server import serve
from infra.engines.command_bus import CommandBus
from infra.engines.liveness import Liveness
from infra.engines.machine import machine
from infra.engines.process import run_process, run_together
from infra.settings import Settings
from write_side.api import create_application
from write_side.catalog import CATALOG


async def main() -> None:
    settings = Settings()
    async with machine("write_side", settings) as parts:
        bus = CommandBus(parts.store, CATALOG, EVENTS, settings)
        liveness = Liveness(parts.database_url, settings)
        application = create_application(bus, CATALOG, liveness, parts.store.head, parts.registry, settings)
        await run_together(
            serve(application, settings.host, settings.command_port), liveness.run(), died=parts.store.died
        )


if __name__ == "__main__":
    run_process(main())
