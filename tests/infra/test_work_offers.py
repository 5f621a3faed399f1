"""Offers of work on JetStream: what is open is on the queue, whatever becomes of the queue, and what has ended is not."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from events.catalog import CATALOG as EVENTS
from infra.adapters.nats_stream import NatsEventStream
from infra.adapters.nats_work import Item, NatsWorkQueue
from infra.cancellation import end
from infra.embedded.nats import EmbeddedNats
from infra.engines.work_offers import WorkOffers
from infra.settings import Settings
from sagas.offer_tasks_on_assignment import OFFER_TASKS_ON_ASSIGNMENT
from tests.infra.consuming import Place, opened, until, until_so

ASSIGNED = orjson.dumps({"agent_id": "ada"})
REQUESTED = orjson.dumps({"agent_id": "ada", "title": "Sum up", "input": {"text": "…"}})


class Desk:
    """A log, a queue, and the consumer between them."""

    def __init__(self, place: Place, stream: NatsEventStream) -> None:
        self.place, self.stream = place, stream
        self.queue = NatsWorkQueue(stream, place.settings)
        self.offers = WorkOffers(OFFER_TASKS_ON_ASSIGNMENT, place.store, self.queue, EVENTS, place.settings)

    async def task(self, task_id: str, tenant_id: str = "acme") -> None:
        await self.place.write(f"task-{task_id}", "task.requested", tenant_id=tenant_id, data=REQUESTED)
        await self.place.write(f"task-{task_id}", "task.assigned", tenant_id=tenant_id, data=ASSIGNED)

    async def ask(self, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        return await (await self.stream.client()).api(verb, request)

    async def offered(self) -> set[str]:
        found = await self.ask("STREAM.INFO.WORK_0", {"subjects_filter": ">"})
        return set(found["state"].get("subjects", {}))

    async def becomes(self, *subjects: str) -> None:
        async def so() -> bool:
            try:
                return await self.offered() == set(subjects)
            except Exception:
                return False

        await until_so(so)


@pytest.fixture
async def desk(database_url: str, nats_url: str, settings: Settings) -> AsyncIterator[Desk]:
    stream = await NatsEventStream.connect(nats_url, settings)
    async with opened(database_url, settings) as place:
        yield Desk(place, stream)
    await stream.close()


class TestATask:
    async def test_that_is_assigned_is_offered_with_what_it_is_about(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.task("t.2", "other")
        await desk.place.run(desk.offers)
        assert await desk.offered() == {"work.acme.ada.t1", "work.other.ada.t=2E2"}
        found = await desk.ask("STREAM.MSG.GET.WORK_0", {"last_by_subj": "work.acme.ada.t1"})
        content = orjson.loads(base64.b64decode(found["message"]["data"]))
        assert (content["task_id"], content["tenant_id"], content["agent_id"]) == ("t1", "acme", "ada")
        assert (content["title"], content["input"], content["correlation_id"]) == ("Sum up", {"text": "…"}, "c1")

    async def test_that_has_ended_by_then_is_not_offered(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.task("t2")
        await desk.place.write("task-t1", "task.cancelled")
        await desk.place.run(desk.offers)
        assert await desk.offered() == {"work.acme.ada.t2"}

    async def test_that_somebody_has_begun_is_offered_only_once_the_queue_was_lost(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.task("t2")
        await desk.place.run(desk.offers)
        await desk.place.write("task-t1", "task.started", data=ASSIGNED)
        await desk.queue.withdraw([("acme", "t1")])
        await desk.place.rows("UPDATE checkpoint SET position = 0")
        await desk.place.run(desk.offers)
        assert await desk.offered() == {"work.acme.ada.t2"}
        await desk.ask("STREAM.DELETE.WORK_0")
        await desk.place.run(desk.offers)
        assert await desk.offered() == {"work.acme.ada.t1", "work.acme.ada.t2"}

    async def test_that_ends_without_a_worker_is_taken_back(self, desk: Desk) -> None:
        await desk.task("t1")
        async with desk.place.running(desk.offers):
            await desk.becomes("work.acme.ada.t1")
            await desk.place.write("task-t1", "task.cancelled")
            await desk.becomes()

    async def test_is_offered_once_however_often_the_consumer_begins_again(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.place.run(desk.offers)
        await desk.place.rows("UPDATE checkpoint SET position = 0")
        await desk.place.run(desk.offers)
        assert (await desk.ask("STREAM.INFO.WORK_0"))["state"]["messages"] == 1


class TestTheQueue:
    async def test_that_is_lost_is_filled_again_with_what_is_open(self, desk: Desk) -> None:
        for number in range(20):
            await desk.task(f"t{number}")
        watching = asyncio.create_task(desk.offers.watch())
        async with desk.place.running(desk.offers):
            await desk.becomes(*(f"work.acme.ada.t{number}" for number in range(20)))
            await desk.place.write("task-t3", "task.completed")
            left = [f"work.acme.ada.t{number}" for number in range(20) if number != 3]
            await desk.becomes(*left)
            await desk.ask("STREAM.DELETE.WORK_0")
            await desk.becomes(*left)
        await end(watching)

    async def test_that_was_only_half_filled_is_filled(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.place.run(desk.offers)
        await desk.ask("STREAM.DELETE.WORK_0")
        assert await desk.queue.prepare(0)
        again = WorkOffers(OFFER_TASKS_ON_ASSIGNMENT, desk.place.store, desk.queue, EVENTS, desk.place.settings)
        await desk.place.run(again)
        assert await desk.offered() == {"work.acme.ada.t1"}
        assert not await desk.queue.prepare(0)

    async def test_that_was_put_back_from_an_older_copy_is_filled_though_another_process_offers_now(
        self, database_url: str, own_nats: EmbeddedNats, settings: Settings, tmp_path: Path
    ) -> None:
        stream = await NatsEventStream.connect(own_nats.url, settings)
        async with opened(database_url, settings) as place:
            desk = Desk(place, stream)
            await desk.task("t1")
            await place.run(desk.offers)
            own_nats.kill()
            await until(lambda: not own_nats.alive)
            shutil.copytree(tmp_path / "nats", tmp_path / "copy")
            await own_nats.start()
            await desk.task("t2")
            await desk.task("t3")
            await place.write("task-t1", "task.cancelled")
            await place.run(desk.offers)
            own_nats.kill()
            await until(lambda: not own_nats.alive)
            shutil.rmtree(tmp_path / "nats")
            (tmp_path / "copy").rename(tmp_path / "nats")
            await own_nats.start()
            later = Desk(place, stream)
            await place.run(later.offers)
            await later.becomes("work.acme.ada.t2", "work.acme.ada.t3")
            again = (await later.ask("STREAM.INFO.WORK_0"))["state"]["last_seq"]
            await place.run(Desk(place, stream).offers)
            assert (await later.ask("STREAM.INFO.WORK_0"))["state"]["last_seq"] == again, "what is full is not filled"
        await stream.close()

    async def test_of_which_nothing_was_kept_is_known_as_it_is(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.place.run(desk.offers)
        await desk.place.rows("DELETE FROM work_queue")
        await desk.place.run(desk.offers)
        assert await desk.place.rows("SELECT sequence FROM work_queue") == [(desk.queue.sequence,)]
        assert desk.queue.sequence > 0

    async def test_has_all_offers_though_another_process_offers_between_two_of_them(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await desk.task("t0")
        await desk.place.run(desk.offers)
        stopped = NatsWorkQueue(desk.stream, desk.place.settings)
        await stopped.prepare(0)
        for number in (1, 2, 3):
            await desk.task(f"t{number}")
        offer, woken = desk.queue.offer, asyncio.Event()

        async def beside(items: Sequence[Item]) -> None:
            if items and not woken.is_set():
                woken.set()
                await stopped.offer([Item("acme", "ada", "t0", {})])
            await offer(items)

        monkeypatch.setattr(desk.queue, "offer", beside)
        await desk.place.run(desk.offers)
        assert await desk.offered() == {f"work.acme.ada.t{number}" for number in range(4)}

    async def test_that_lost_something_is_filled_though_the_filling_ended_half_way(self, desk: Desk) -> None:
        await desk.task("t1")
        await desk.place.run(desk.offers)
        await desk.queue.withdraw([("acme", "t1")])
        assert await desk.queue.prepare(desk.queue.sequence + 1)
        await desk.queue.offer([Item("acme", "ada", "t2", {})])
        assert await desk.queue.prepare(desk.queue.sequence)
        await desk.place.run(desk.offers)
        assert await desk.offered() == {"work.acme.ada.t1", "work.acme.ada.t2"}
        assert not await desk.queue.prepare(desk.queue.sequence)

    async def test_of_another_shard_has_the_same_subjects(self, nats_url: str, settings: Settings) -> None:
        own = settings.model_copy(update={"shard": 3})
        stream = await NatsEventStream.connect(nats_url, own)
        queue = NatsWorkQueue(stream, own)
        await queue.prepare(0)
        await queue.offer([Item("acme", "ada", f"t{number}", {}) for number in range(1_500)])
        client = await stream.client()
        found = await client.api("STREAM.INFO.WORK_3", {"subjects_filter": "work.acme.ada.t1499"})
        assert found["state"]["subjects"] == {"work.acme.ada.t1499": 1}
        await queue.withdraw([("acme", f"t{number}") for number in range(1_500)])
        assert (await client.api("STREAM.INFO.WORK_3"))["state"]["messages"] == 0
        await stream.close()
