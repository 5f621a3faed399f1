"""A stored event as a CloudEvents document and back."""

import json
from datetime import UTC, datetime

import pytest

from infra.adapters.cloud_event import NotAnEvent, decode, encode
from infra.adapters.event_store import Record

METADATA = {
    "actor": "user:alice",
    "command_id": "c-1",
    "correlation_id": "c-0",
    "causation_id": "c-1",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "source": "http",
    "user_agent": "curl",
    "ip": "192.0.2.1",
}


def record(metadata: dict[str, str] = METADATA, data: bytes = b'{"name": "Zo\xc3\xab", "n": [1, 2.5]}') -> Record:
    at = datetime(2026, 11, 21, 7, 30, 0, 123456, tzinfo=UTC)
    return Record(
        7,
        "0199a1b2-0000-7000-8000-000000000001",
        "acme",
        "agent-1",
        3,
        "agent.created",
        1,
        at,
        json.dumps(metadata).encode(),
        data,
    )


class TestADocument:
    def test_has_the_attributes_of_the_envelope(self) -> None:
        assert json.loads(encode(record(), 2)) == {
            "specversion": "1.0",
            "id": "0199a1b2-0000-7000-8000-000000000001",
            "source": "/foldwork/2",
            "type": "agent.created",
            "time": "2026-11-21T07:30:00.123456Z",
            "subject": "agent-1",
            "datacontenttype": "application/json",
            "position": 7,
            "tenantid": "acme",
            "streamversion": 3,
            "schemaversion": 1,
            "actor": "user:alice",
            "commandid": "c-1",
            "correlationid": "c-0",
            "causationid": "c-1",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "data": {"name": "Zoë", "n": [1, 2.5]},
        }

    def test_leaves_out_what_is_not_known(self) -> None:
        assert "traceparent" not in json.loads(encode(record({"actor": "user:alice"}), 0))

    def test_does_not_tell_where_the_event_came_in(self) -> None:
        document = encode(record(), 0)
        assert b"192.0.2.1" not in document
        assert b"curl" not in document

    def test_holds_the_data_as_it_is_stored(self) -> None:
        assert encode(record(data=b'{"n":1.10}'), 0).endswith(b',"data":{"n":1.10}}')

    def test_comes_back_as_the_record(self) -> None:
        wanted = record({name: METADATA[name] for name in ("actor", "command_id", "correlation_id", "causation_id")})
        found = decode(encode(wanted, 0), 7)
        assert json.loads(found.metadata) == json.loads(wanted.metadata)
        found.metadata, found.data = wanted.metadata, wanted.data
        assert found == wanted

    def test_can_be_made_again_from_what_came_back(self) -> None:
        document = encode(record(), 0)
        assert json.loads(encode(decode(document), 0)) == json.loads(document)


class TestWhatIsNoDocument:
    @pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b"null", b"\xff", b'{"position": 7, "time": 3}'])
    def test_is_refused(self, payload: bytes) -> None:
        with pytest.raises(NotAnEvent):
            decode(payload)

    def test_is_the_one_of_another_position(self) -> None:
        with pytest.raises(NotAnEvent):
            decode(encode(record(), 0), 8)
