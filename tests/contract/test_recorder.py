"""The recorders over our log pass the `eventsourcing` library's own test cases, run from its wheel; and what these do not ask."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from unittest import TestCase
from uuid import UUID, uuid4

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
    """Gives each of the library's tests a recorder over a database of its own."""

    @pytest.fixture(autouse=True)
    def _place(self, database_url: str, settings: Settings) -> None:
        self.database_url, self.settings = database_url, settings

    def opened(self, recorder: "type[Recorder]") -> "Recorder":
        made = recorder(self.database_url, self.settings, "library")
        self.addCleanup(made.close)
        return made


Recorder = LogRecorder | AggregateLogRecorder


class TestTheAggregateRecorder(OwnDatabase, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateLogRecorder:
        recorder = AggregateLogRecorder(self.database_url, self.settings, "library")
        self.addCleanup(recorder.close)
        return recorder


class TestTheApplicationRecorder(OwnDatabase, ApplicationRecorderTestCase[LogRecorder]):
    def create_recorder(self) -> LogRecorder:
        recorder = LogRecorder(self.database_url, self.settings, "library")
        self.addCleanup(recorder.close)
        return recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIds(OwnDatabase, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> LogRecorder:
        recorder = LogRecorder(self.database_url, self.settings, "library")
        self.addCleanup(recorder.close)
        return recorder
