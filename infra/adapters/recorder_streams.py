"""Streams whose versions begin where another library wants, over our log where they begin at 1; state of any bytes in our JSON.

Guarantee: that of the event store. For one event loop.
"""

from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from infra.adapters.event_store import Append, EventStore, NewEvent, Record, StreamMoved, Write

_USUAL_FIRST_VERSIONS = (0, 1)
_KNOWN_STREAMS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class ForeignState:
    """State that is not ours, with its version there; `kind` says of what type the originator's id is, "uuid" or "str"."""

    state: bytes
    version: int
    kind: str

    def to_json(self) -> bytes:
        return orjson.dumps({"state": b64encode(self.state).decode(), "version": self.version, "originator": self.kind})

    @classmethod
    def of(cls, record: Record) -> "ForeignState | None":
        """None for an event of ours."""
        data: dict[str, Any] = record.data if isinstance(record.data, dict) else orjson.loads(record.data)
        if data.keys() != {"state", "version", "originator"}:
            return None
        return cls(b64decode(data["state"]), data["version"], data["originator"])


@dataclass(frozen=True, slots=True)
class VersionedEvents:
    """New events of one stream; `version` is what the other library calls the first of them."""

    version: int
    events: Sequence[NewEvent]


class RecorderStreams:
    """The streams of one tenant. Remembers the version that each begins with, as its first event says."""

    def __init__(self, store: EventStore, tenant_id: str) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._firsts: OrderedDict[str, int] = OrderedDict()

    async def append(self, new: Mapping[str, VersionedEvents], occurred_at: datetime, metadata: bytes) -> int:
        """All or nothing; gives the last position. Raises StreamMoved where a version is taken or would leave a gap."""
        for stream_id, added in new.items():
            if added.version not in _USUAL_FIRST_VERSIONS:
                await self._learn_first(stream_id)
        taken_for_new = [stream_id for stream_id in new if stream_id not in self._firsts]
        try:
            position = await self._append(new, occurred_at, metadata)
        except StreamMoved:
            # Version 1 may be the second of a stream that begins with 0.
            for stream_id in taken_for_new:
                await self._learn_first(stream_id)
            if not any(stream_id in self._firsts for stream_id in taken_for_new):
                raise
            position = await self._append(new, occurred_at, metadata)
        for stream_id in taken_for_new:
            self._keep_first(stream_id, new[stream_id].version)
        return position

    async def _append(self, new: Mapping[str, VersionedEvents], occurred_at: datetime, metadata: bytes) -> int:
        writes = [
            Write(stream_id, added.version - self._firsts.get(stream_id, added.version), added.events)
            for stream_id, added in new.items()
        ]
        return (await self._store.append(Append(self._tenant_id, writes, occurred_at, metadata))).position

    async def load(self, stream_id: str, after_version: int | None = None) -> list[Record]:
        """The events of a stream; perhaps some more than those after a version of the other library."""
        first = self._firsts.get(stream_id)
        after = 0 if after_version is None or first is None else max(0, after_version - first + 1)
        records = await self._store.load(self._tenant_id, stream_id, after)
        if records and after == 0:
            foreign = ForeignState.of(records[0])
            self._keep_first(stream_id, records[0].stream_version if foreign is None else foreign.version)
        return records

    async def _learn_first(self, stream_id: str) -> None:
        if stream_id not in self._firsts:
            await self.load(stream_id)

    def _keep_first(self, stream_id: str, version: int) -> None:
        self._firsts[stream_id] = version
        if len(self._firsts) > _KNOWN_STREAMS_MAX:
            self._firsts.popitem(last=False)
