"""A stored event as a CloudEvents 1.0 JSON document, the form it has on NATS and HTTP, and back.

Format: github.com/cloudevents/spec, v1.0.2, formats/json-format.md; our own fields are extension attributes. Where an
event came in (source, user agent, ip) is personal data and stays in Postgres.
"""

from datetime import datetime
from typing import Any

import orjson

from infra.adapters.event_store import Record
from infra.errors import Fault

_ATTRIBUTE_OF = {
    "actor": "actor",
    "command_id": "commandid",
    "correlation_id": "correlationid",
    "causation_id": "causationid",
    "traceparent": "traceparent",
}


class NotAnEvent(Fault):
    """This is not the document of the event that should be there: somebody else published it."""


def encode(record: Record, shard: int) -> bytes:
    """The JSON document of an event. Its data is put in as it is stored, not parsed."""
    metadata = orjson.loads(record.metadata)
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": record.id,
        "source": f"/foldwork/{shard}",
        "type": record.type,
        "time": record.occurred_at,
        "subject": record.stream_id,
        "datacontenttype": "application/json",
        "position": record.position,
        "tenantid": record.tenant_id,
        "streamversion": record.stream_version,
        "schemaversion": record.schema_version,
    }
    for name, attribute in _ATTRIBUTE_OF.items():
        if name in metadata:
            document[attribute] = metadata[name]
    data = record.data if isinstance(record.data, bytes) else orjson.dumps(record.data)
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)[:-1] + b',"data":' + data + b"}"


def encode_notice(record: Record, number: int, type_: str, data: bytes, shard: int) -> bytes:
    """The JSON document of something that others are told of an event, under a type of theirs: the `number`th, from 1.

    `data` is JSON text. The id is the same whenever it is told, and the source with it makes it one of its kind.
    """
    metadata = orjson.loads(record.metadata)
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": notice_id(record, number),
        "source": f"/foldwork/{shard}",
        "type": type_,
        "time": record.occurred_at,
        "subject": record.stream_id,
        "datacontenttype": "application/json",
        "position": record.position,
        "tenantid": record.tenant_id,
        "streamversion": record.stream_version,
        "causationid": record.id,
    }
    for name in ("correlation_id", "traceparent"):
        if name in metadata:
            document[_ATTRIBUTE_OF[name]] = metadata[name]
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)[:-1] + b',"data":' + data + b"}"


def notice_id(record: Record, number: int) -> str:
    """Derived from the event's: `<event id>/<number>`."""
    return f"{record.id}/{number}"


def decode(payload: bytes, position: int | None = None) -> Record:
    """The record of a document that `encode` made, its data parsed.

    Raises NotAnEvent for anything else, and for an event of another position than the one given.
    """
    try:
        record = decoded(orjson.loads(payload), len(payload))
    except ValueError as malformed:
        raise NotAnEvent from malformed
    if position is not None and record.position != position:
        raise NotAnEvent(f"The event of position {record.position} stands at {position}.")
    return record


def decoded(document: Any, size: int = 0) -> Record:
    """The record of a document that was parsed already, `size` bytes long. Raises NotAnEvent."""
    try:
        metadata = {name: document[attribute] for name, attribute in _ATTRIBUTE_OF.items() if attribute in document}
        return Record(
            document["position"],
            document["id"],
            document["tenantid"],
            document["subject"],
            document["streamversion"],
            document["type"],
            document["schemaversion"],
            datetime.fromisoformat(document["time"]),
            orjson.dumps(metadata),
            document["data"],
            size,
        )
    except (ValueError, KeyError, TypeError) as malformed:
        raise NotAnEvent from malformed
