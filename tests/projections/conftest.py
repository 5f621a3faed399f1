"""Given events, then rows: the sentences in which projections are tested."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.catalog import CATALOG
from events.envelope import Envelope
from events.event import Event
from infra.patterns.projection import Key, Projection, Row

START = datetime(2026, 1, 1, tzinfo=UTC)


class ReadModel:
    """The rows of one projection and the log so far; each event comes a second after the one before."""

    def __init__(self, projection: Projection[Any]) -> None:
        self._projection = projection
        self._position = 0
        self._versions: dict[tuple[str, str], int] = {}
        self.rows: dict[Key, Any] = {}

    def given(self, tenant_id: str, stream_id: str, *events: Event) -> "ReadModel":
        for event in events:
            self._position += 1
            version = self._versions.get((tenant_id, stream_id), 0) + 1
            self._versions[tenant_id, stream_id] = version
            stored = CATALOG.decode(event.type, event.version, CATALOG.encode(event))
            at = self.at(self._position)
            envelope = Envelope(self._position, f"e{self._position}", tenant_id, stream_id, version, at, stored)
            self._apply(envelope)
        return self

    def _apply(self, envelope: Envelope[Any]) -> None:
        assert isinstance(envelope.event, self._projection.handles)
        key = self._projection.locate(envelope)
        row = self._projection.project(envelope, self.rows.get(key))
        if row is None:
            self.rows.pop(key, None)
            return
        assert key == tuple(getattr(row, column) for column in self._projection.key)
        assert type(row).model_validate_json(row.model_dump_json()) == row, (
            "the row would not come back as it was stored"
        )
        self.rows[key] = row

    @staticmethod
    def at(position: int) -> datetime:
        return START + timedelta(seconds=position)

    def then(self, *key: str | int, **columns: object) -> "ReadModel":
        """The row with this key has these columns."""
        row = self.rows[key]
        assert {name: getattr(row, name) for name in columns} == columns
        return self

    def row(self, *key: str | int) -> Row:
        row: Row = self.rows[key]
        return row


@pytest.fixture
def read_model() -> type[ReadModel]:
    return ReadModel
