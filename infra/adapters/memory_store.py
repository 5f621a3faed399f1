"""The event store in memory: the same contract as the Postgres store, for tests that need no server."""

import asyncio
from collections.abc import Sequence

from infra.adapters.append_plan import first_conflict, with_each_stream_once
from infra.adapters.event_store import (
    Append,
    Appended,
    BasisLost,
    Record,
    Records,
    Snapshot,
    event_ids,
    has_lost_its_basis,
    own_version,
    records_of,
)
from infra.errors import CommandIdReused


class MemoryEventStore:
    """Keeps the log in a list; nothing outlives the process."""

    def __init__(self, shard: int = 0) -> None:
        self.shard = shard
        self._log: list[Record] = []
        self._versions: dict[tuple[str, str], int] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, Appended]] = {}
        self._snapshots: dict[tuple[str, str], Snapshot] = {}

    async def append(self, append: Append) -> Appended:
        return await self.submit(append)

    def submit(self, append: Append) -> asyncio.Future[Appended]:
        return asyncio.ensure_future(self._write(with_each_stream_once(append)))

    async def _write(self, append: Append) -> Appended:
        if has_lost_its_basis(append):
            raise BasisLost(append)
        if append.command_id is not None:
            known = await self.answer(append.tenant_id, append.command_id, append.fingerprint)
            if known is not None:
                return known
        moved = first_conflict(append, self._versions)
        if moved is not None:
            raise moved
        self._log.extend(records_of(append, len(self._log) + 1))
        for write in append.writes:
            if write.events:
                self._versions[append.tenant_id, write.stream_id] = write.expected + len(write.events)
        answer = Appended(append.writes[0].stream_id, own_version(append), len(self._log), event_ids(append))
        if append.command_id is not None:
            repeated = Appended(answer.stream_id, answer.version, answer.position, answer.ids, repeated=True)
            self._answers[append.tenant_id, append.command_id] = (append.fingerprint, repeated)
        return answer

    async def load(self, tenant_id: str, stream_id: str, after: int = 0) -> list[Record]:
        return [
            record
            for record in self._log
            if record.stream_id == stream_id and record.tenant_id == tenant_id and record.stream_version > after
        ]

    async def read(
        self,
        after: int,
        limit: int,
        *,
        tenant_id: str | None = None,
        types: Sequence[str] | None = None,
        stream_id: str | None = None,
        until: int | None = None,
    ) -> Records:
        found = [
            record
            for record in self._log[after:until]
            if (tenant_id is None or record.tenant_id == tenant_id)
            and (types is None or record.type in types)
            and (stream_id is None or record.stream_id == stream_id)
        ]
        return Records(found[:limit])

    async def head(self) -> int:
        return len(self._log)

    async def first_position(self) -> int:
        return 1

    async def answer(self, tenant_id: str, command_id: str, fingerprint: bytes) -> Appended | None:
        known = self._answers.get((tenant_id, command_id))
        if known is None:
            return None
        if known[0] != fingerprint:
            raise CommandIdReused
        return known[1]

    async def snapshot(self, tenant_id: str, stream_id: str) -> Snapshot | None:
        return self._snapshots.get((tenant_id, stream_id))

    async def keep_snapshot(self, tenant_id: str, stream_id: str, snapshot: Snapshot) -> None:
        kept = self._snapshots.get((tenant_id, stream_id))
        if kept is None or kept.form < snapshot.form or kept.version < snapshot.version:
            self._snapshots[tenant_id, stream_id] = snapshot

    async def close(self) -> None:
        return None
