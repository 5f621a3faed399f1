"""The process that keeps the read models: `python -m projections`."""

from events.catalog import CATALOG as EVENTS
from infra.engines.machine import machine, run_consumers
from infra.engines.process import run_process
from infra.engines.projector import Projector
from infra.settings import Settings
from projections.catalog import CATALOG


async def main() -> None:
    settings = Settings()
    async with machine("projections", settings) as parts:
        projectors = [Projector(projection, parts.store, EVENTS, settings) for projection in CATALOG]
        await run_consumers(parts, projectors, settings.projections_port)


if __name__ == "__main__":
    run_process(main(), yields=True)
