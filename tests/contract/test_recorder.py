"""The recorders over our log pass the `eventsourcing` library's own test cases, run from its wheel; and what these do not ask."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest import TestCase
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.persistence import (
    EventStore,
    IntegrityError,
    MapperDeserialisationError,
    Notification,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from events.agent import AgentStarted, AgentStopped
from events.catalog import CATALOG
from events.envelope import Envelope, Origin
from infra.adapters.recorder import AggregateLogRecorder, EventMapper, LogRecorder
from infra.settings import Settings

pytestmark = pytest.mark.servers


class OwnDatabase(TestCase):
    """Gives each of the library's tests recorders over a database of its own."""

    @pytest.fixture(autouse=True)
    def _place(self, database_url: str, settings: Settings) -> None:
        self.place = (database_url, settings, "library")

    def create_recorder(self) -> LogRecorder:
        recorder = LogRecorder(*self.place)
        self.addCleanup(recorder.close)
        return recorder


class TestTheAggregateRecorder(OwnDatabase, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateLogRecorder:  # type: ignore[override]  # the other one gives notification ids
        recorder = AggregateLogRecorder(*self.place)
        self.addCleanup(recorder.close)
        return recorder


class TestTheApplicationRecorder(OwnDatabase, ApplicationRecorderTestCase[LogRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIds(OwnDatabase, NonInterleavingNotificationIDsBaseCase):
    pass


Open = Callable[..., LogRecorder]


@pytest.fixture
def opened(database_url: str, settings: Settings) -> Iterator[Open]:
    """Recorders over one database, as if each were another process."""
    recorders: list[LogRecorder] = []

    def open(application_name: str | None = "library", **more: str) -> LogRecorder:
        recorders.append(LogRecorder(database_url, settings, application_name, **more))
        return recorders[-1]

    yield open
    for recorder in recorders:
        recorder.close()


def stored(originator_id: UUID | str, *versions: int, state: bytes = b"\x00\xff") -> list[StoredEvent]:
    return [StoredEvent(originator_id, version, f"topic{version}", state) for version in versions]


class TestLargeEvents:
    def test_come_as_many_as_are_asked_for(self, database_url: str, settings: Settings) -> None:
        few = settings.model_copy(update={"read_bytes_max": 1_000})
        recorder = LogRecorder(database_url, few, "library")
        try:
            recorder.insert_events(stored("a", *range(1, 21), state=bytes(range(256)) * 4))
            for limit, expected in ((7, 7), (20, 20), (50, 20)):
                assert [n.id for n in recorder.select_notifications(1, limit)] == list(range(1, expected + 1))
        finally:
            recorder.close()


class TestAnOriginator:
    @pytest.mark.parametrize("originator_id", [uuid4(), "order-17", str(uuid4())])
    def test_keeps_the_type_of_its_id_and_any_bytes_of_state(self, opened: Open, originator_id: UUID | str) -> None:
        recorder = opened()
        events = stored(originator_id, 1, 2, state=bytes(range(256)))
        recorder.insert_events(events)
        assert list(recorder.select_events(originator_id)) == events
        assert [n.originator_id for n in recorder.select_notifications(1, 10)] == [originator_id] * 2

    @pytest.mark.parametrize("first", [0, 1, 7])
    def test_may_begin_with_any_version_and_is_known_by_others(self, opened: Open, first: int) -> None:
        opened().insert_events(stored("a", first))
        opened().insert_events(stored("a", first + 1))
        recorder = opened()
        recorder.insert_events(stored("a", first + 2))
        assert [each.originator_version for each in recorder.select_events("a")] == [first, first + 1, first + 2]
        assert [each.originator_version for each in recorder.select_events("a", gt=first)] == [first + 1, first + 2]

    @pytest.mark.parametrize("first", [0, 1, 7])
    def test_has_no_version_twice_and_no_gap(self, opened: Open, first: int) -> None:
        opened().insert_events(stored("a", first, first + 1))
        for version in (first, first + 1, first + 3, first + 9):
            with pytest.raises(IntegrityError):
                opened().insert_events(stored("a", version))
        with pytest.raises(IntegrityError):
            opened().insert_events(stored("a", first + 2, first + 4))

    def test_of_another_application_is_another(self, opened: Open) -> None:
        one, another = opened("one"), opened("another")
        one.insert_events(stored("a", 1))
        another.insert_events(stored("a", 1))
        assert [n.originator_id for n in one.select_notifications(1, 10)] == ["a", "another-a"]

    def test_of_another_tenant_is_not_seen(self, opened: Open) -> None:
        opened(tenant_id="acme").insert_events(stored("a", 1))
        other = opened(tenant_id="other")
        assert list(other.select_events("a")) == list(other.select_notifications(None, 10)) == []


class TestInsertedEvents:
    def test_get_their_positions_in_the_order_in_which_they_were_given(self, opened: Open) -> None:
        recorder = opened()
        mixed = [*stored("a", 1), *stored("b", 1), *stored("a", 2), *stored("b", 2)]
        ids = recorder.insert_events(mixed)
        found = {(n.originator_id, n.originator_version): n.id for n in recorder.select_notifications(1, 10)}
        assert ids == [found[each.originator_id, each.originator_version] for each in mixed]

    def test_are_one_winner_among_many_threads(self, opened: Open) -> None:
        recorder = opened()
        won: list[int] = []

        def compete(number: int) -> None:
            for version in range(1, 30):
                try:
                    recorder.insert_events(stored("a", version, state=b"%d" % number))
                    won.append(version)
                except IntegrityError:
                    continue

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(1, 30))


class TestARecorder:
    def test_that_is_closed_says_so(self, opened: Open) -> None:
        recorder = opened()
        subscription = recorder.subscribe()
        recorder.close()
        with pytest.raises(OperationalError):
            recorder.select_notifications(1, 10)
        with pytest.raises(OperationalError):
            next(subscription)

    def test_tells_subscribers_what_another_process_has_recorded(self, opened: Open) -> None:
        with opened().subscribe() as subscription:
            opened().insert_events(stored("a", 1))
            assert next(subscription).originator_id == "a"

    def test_takes_no_application_name_that_would_hide_its_streams(self, opened: Open) -> None:
        with pytest.raises(ProgrammingError):
            opened("my-application")


class TestOurOwnEvents:
    def test_pass_through_the_library_unchanged(self, opened: Open) -> None:
        recorder = opened(None, tenant_id="acme")
        origin = orjson.dumps(Origin("acme", "user:alice", "c1", "c1", "c1").metadata())
        at = datetime(2026, 5, 4, 3, 2, 1, 5, UTC)
        ids = [str(uuid4()), str(uuid4())]
        started = Envelope(0, ids[0], "acme", "agent-1", 1, at, AgentStarted(), origin)
        stopped = Envelope(0, ids[1], "acme", "agent-1", 2, at, AgentStopped(reason="done"), origin)
        store = EventStore(EventMapper(CATALOG), recorder)
        store.put([started, stopped])  # type: ignore[list-item]  # envelopes are our domain events
        read = list(store.get("agent-1"))
        assert [envelope.event for envelope in read] == [started.event, stopped.event]  # type: ignore[attr-defined]  # as above
        first, second = recorder.select_notifications(1, 10)
        assert (first.topic, first.state, second.state) == ("agent.started", b"{}", b'{"reason":"done"}')
        assert [EventMapper(CATALOG).to_domain_event(each) for each in (first, second)] == [
            Envelope(1, ids[0], "acme", "agent-1", 1, at, AgentStarted(), origin),
            Envelope(2, ids[1], "acme", "agent-1", 2, at, AgentStopped(reason="done"), origin),
        ]

    def test_are_not_taken_for_those_of_others(self) -> None:
        with pytest.raises(MapperDeserialisationError):
            EventMapper(CATALOG).to_domain_event(Notification("agent-1", 1, "agent.started", b"{}", 1))
