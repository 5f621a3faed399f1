"""The process that answers: `python -m read_side` serves the query API."""

from infra.adapters.read_store import ReadStore
from infra.adapters.web_server import serve
from infra.engines.machine import machine
from infra.engines.process import run_process, run_together
from infra.settings import Settings
from read_side.api import create_application
from read_side.live import Live
from read_side.queries import Queries
from read_side.task_texts import TaskTexts


async def main() -> None:
    settings = Settings()
    async with machine("read_side", settings) as parts:
        models = await ReadStore.open(parts.database_url, settings)
        await parts.news.listen(models.seen)
        live = Live(parts.store, parts.stream.woken, settings, parts.stream.waking)
        queries = Queries(models, parts.store, settings)
        texts = TaskTexts(queries, parts.stream).routes()
        application = create_application(queries, live, parts.store.head, parts.registry, texts)
        try:
            await run_together(
                serve(application, settings.host, settings.query_port), live.run(), died=parts.store.died
            )
        finally:
            await models.close()


if __name__ == "__main__":
    run_process(main())
