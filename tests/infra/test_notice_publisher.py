"""Notices on JetStream: what others are told of runs is there once, in order, whoever publishes it and however often."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from events.catalog import CATALOG as EVENTS
from infra.adapters.checkpoints import Operations
from infra.adapters.event_stream import StreamUnavailable
from infra.adapters.nats_notices import NatsNotices, Notice
from infra.adapters.nats_stream import NatsEventStream
from infra.engines.machine import machine
from infra.engines.notice_publisher import NoticePublisher, publishers
from infra.settings import Settings
from sagas.publish_lifecycle_on_run_event import PUBLISH_LIFECYCLE_ON_RUN_EVENT
from tests.infra.consuming import Place, opened

AT = "2026-01-01T12:00:00Z"
DIGEST = "sha256:" + "0" * 64
STARTED = orjson.dumps({"workflow_id": "travel.book", "workflow_version": "1.0.0", "digest": DIGEST, "started_at": AT})


def task(number: int) -> bytes:
    return orjson.dumps(
        {"task": number, "reference": f"/do/{number}/step", "name": "step", "kind": "call", "started_at": AT}
    )


class Board(NatsNotices):
    """Loses the answer after notices were stored, as often as it is told."""

    unheard = 0

    async def publish(self, notices: Sequence[Notice]) -> None:
        await super().publish(notices)
        if self.unheard:
            self.unheard -= 1
            raise StreamUnavailable("NATS did not answer.")


class Office:
    """A log, a stream for notices, and the consumer between them."""

    def __init__(self, place: Place, stream: NatsEventStream) -> None:
        self.place, self.stream = place, stream
        self.board = Board(stream, place.settings)
        self.publisher = self.another()

    def another(self) -> NoticePublisher:
        """A publisher that knows nothing yet, as after a restart."""
        return NoticePublisher(
            PUBLISH_LIFECYCLE_ON_RUN_EVENT, self.place.store, self.board, EVENTS, self.place.settings
        )

    async def begin(self, run_id: str, tenant_id: str = "acme") -> None:
        await self.place.write(f"run-{run_id}", "run.started", tenant_id=tenant_id, data=STARTED)
        await self.place.write(f"run-{run_id}", "run.input_formed", tenant_id=tenant_id)

    async def start(self, run_id: str, number: int) -> None:
        await self.place.write(f"run-{run_id}", "run.task_started", data=task(number))

    async def complete(self, run_id: str, number: int) -> None:
        await self.place.write(f"run-{run_id}", "run.task_completed", data=orjson.dumps({"task": number}))

    async def ask(self, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        return await (await self.stream.client()).api(verb, request)

    async def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """Subjects and documents, in the order of the stream."""
        state = (await self.ask("STREAM.INFO.LIFECYCLE_0"))["state"]
        found = []
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            message = (await self.ask("STREAM.MSG.GET.LIFECYCLE_0", {"seq": sequence}))["message"]
            found.append((message["subject"], orjson.loads(base64.b64decode(message["data"]))))
        return found

    async def forget(self) -> None:
        """Begin again from the first event of the log."""
        await self.place.rows("UPDATE checkpoint SET position = 0")


@pytest.fixture
async def office(database_url: str, nats_url: str, settings: Settings) -> AsyncIterator[Office]:
    stream = await NatsEventStream.connect(nats_url, settings)
    async with opened(database_url, settings) as place:
        yield Office(place, stream)
    await stream.close()


def subjects(messages: list[tuple[str, Any]]) -> Iterator[str]:
    return (subject for subject, _ in messages)


class TestALifecycleEvent:
    async def test_is_published_as_a_cloud_event_under_its_kind(self, office: Office) -> None:
        await office.begin("r1", "acme.eu")
        await office.place.run(office.publisher)
        messages = await office.messages()
        assert list(subjects(messages)) == [
            "lifecycle.acme=2Eeu.workflow.started",
            "lifecycle.acme=2Eeu.workflow.status-changed",
            "lifecycle.acme=2Eeu.workflow.status-changed",
        ]
        document = messages[0][1]
        assert (document["type"], document["tenantid"]) == ("io.serverlessworkflow.workflow.started.v1", "acme.eu")
        assert document["data"]["definition"] == {"name": "book", "namespace": "travel", "version": "1.0.0"}

    async def test_is_there_once_however_often_the_consumer_begins_again(self, office: Office) -> None:
        await office.begin("r1")
        await office.start("r1", 1)
        await office.place.run(office.publisher)
        before = await office.messages()
        await office.complete("r1", 1)
        await office.forget()
        await office.place.run(office.another())
        messages = await office.messages()
        assert messages[: len(before)] == before
        assert list(subjects(messages[len(before) :])) == [
            "lifecycle.acme.task.completed",
            "lifecycle.acme.task.status-changed",
        ]
        assert len({document["id"] for _, document in messages}) == len(messages)

    async def test_names_a_task_that_began_before_the_consumer_did(self, office: Office) -> None:
        await office.begin("r1")
        await office.start("r1", 7)
        await office.place.run(office.publisher)
        await office.complete("r1", 7)
        await office.place.run(office.another())
        _, document = (await office.messages())[-2]
        assert document["data"]["task"] == "/do/7/step"

    async def test_reads_a_stream_once_and_not_for_every_event(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await office.begin("r1")
        await office.place.run(office.publisher)
        reads = 0
        read = office.place.store.read

        async def counted(*arguments: Any, **filters: Any) -> Any:
            nonlocal reads
            reads += filters.get("stream_id") is not None
            return await read(*arguments, **filters)

        monkeypatch.setattr(office.place.store, "read", counted)
        for number in range(1, 10):
            await office.start("r1", number)
        await office.place.run(office.another())
        assert reads == 1

    async def test_of_an_event_that_cannot_be_read_parks_its_run_only(self, office: Office) -> None:
        await office.begin("r1")
        await office.place.write("run-r1", "run.task_completed", data=b'{"task": "no number"}')
        await office.begin("r2")
        await office.place.run(office.publisher)
        assert {document["subject"] for _, document in await office.messages()} == {"run-r1", "run-r2"}
        assert await office.place.rows("SELECT stream_id FROM dead_letter") == [("run-r1",)]

    async def test_comes_again_for_a_run_once_what_could_not_be_read_was_discarded(self, office: Office) -> None:
        await office.begin("r1")
        await office.place.write("run-r1", "run.task_completed", data=b'{"task": "no number"}')
        async with office.place.running(office.publisher) as consumers:
            await office.place.seen(consumers, await office.place.store.head())
            await Operations(office.place.url).discard_dead_letters(office.publisher.name)
            await office.place.no_letters()
            before = len(await office.messages())
            await office.start("r1", 1)
            await office.place.seen(consumers, await office.place.store.head())
        assert await office.place.letters() == []
        assert next(subjects((await office.messages())[before:])) == "lifecycle.acme.task.created"

    async def test_is_neither_lost_nor_there_twice_if_its_storing_is_not_heard_of(self, office: Office) -> None:
        await office.begin("r1")
        await office.start("r1", 1)
        office.board.unheard = 3
        await office.place.run(office.publisher)
        assert office.board.unheard == 0
        kinds = [subject.removeprefix("lifecycle.acme.") for subject in subjects(await office.messages())]
        changed = "workflow.status-changed"
        assert kinds == ["workflow.started", changed, changed, "task.created", "task.started", "task.status-changed"]

    async def test_is_published_only_where_the_operator_wants_it(
        self, database_url: str, nats_url: str, settings: Settings
    ) -> None:
        urls = {"database_url": database_url, "nats_url": nats_url}
        async with machine("sagas", settings.model_copy(update=urls)) as parts:
            assert publishers(PUBLISH_LIFECYCLE_ON_RUN_EVENT, parts, EVENTS) == []
            wanted = replace(parts, settings=settings.model_copy(update={**urls, "lifecycle_published": True}))
            [found] = publishers(PUBLISH_LIFECYCLE_ON_RUN_EVENT, wanted, EVENTS)
            assert found.name == "publish_lifecycle_on_run_event"


class TestTheStream:
    async def test_that_was_lost_is_made_anew_for_what_comes(self, office: Office) -> None:
        await office.begin("r1")
        await office.place.run(office.publisher)
        async with office.place.running(office.publisher):
            await office.ask("STREAM.DELETE.LIFECYCLE_0")
            await office.start("r1", 1)
            async with asyncio.timeout(10):
                while True:
                    try:
                        if len(await office.messages()) == 3:
                            break
                    except Exception:
                        await asyncio.sleep(0.05)

    async def test_is_bounded_as_the_settings_say(self, office: Office) -> None:
        await office.board.prepare()
        bounds = {"lifecycle_age_s_max": 60, "lifecycle_bytes_max": 1_000_000}
        smaller = NatsNotices(office.stream, office.place.settings.model_copy(update=bounds))
        await smaller.prepare()
        config = (await office.ask("STREAM.INFO.LIFECYCLE_0"))["config"]
        assert (config["max_age"], config["max_bytes"]) == (60_000_000_000, 1_000_000)
        assert config["duplicate_window"] == 60_000_000_000

    async def test_takes_many_at_once_and_leaves_out_what_it_has(self, office: Office) -> None:
        await office.board.prepare()
        notices = [Notice("acme", "task.created", f"e{number}/1", b"{}") for number in range(2_500)]
        await office.board.publish(notices[:1_200])
        await office.board.publish(notices)
        assert (await office.ask("STREAM.INFO.LIFECYCLE_0"))["state"]["messages"] == 2_500

    async def test_of_another_shard_has_the_same_subjects(self, nats_url: str, settings: Settings) -> None:
        own = settings.model_copy(update={"shard": 3})
        stream = await NatsEventStream.connect(nats_url, own)
        board = NatsNotices(stream, own)
        await board.prepare()
        await board.publish([Notice("acme", "task.created", "e1/1", b"{}")])
        found = await (await stream.client()).api("STREAM.INFO.LIFECYCLE_3", {"subjects_filter": ">"})
        assert found["state"]["subjects"] == {"lifecycle.acme.task.created": 1}
        await stream.close()
