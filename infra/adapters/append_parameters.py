"""One group commit as the parameters of the SQL functions `append` and `append_refused`. Pure."""

from collections.abc import Sequence
from typing import Any

from infra.adapters import postgres_arrays as arrays
from infra.adapters.append_plan import Plan
from infra.adapters.event_store import own_version


def append_parameters(plan: Plan) -> tuple[bytes, ...]:
    """A plan as arrays. Raises ValueError or TypeError for text that is no UTF-8, numbers out of range, times without a zone."""
    rows: list[tuple[Any, ...]] = []
    commands: list[tuple[str, str, bytes, str, int, int, int]] = []
    for append in plan.appends:
        tenant, writes, occurred_at, metadata, command_id, fingerprint, _ = append
        before = len(rows)
        for stream_id, version, events in writes:
            for type_, schema_version, data, event_id in events:
                version += 1
                rows.append((event_id, tenant, stream_id, version, type_, schema_version, occurred_at, metadata, data))
        if command_id is not None:
            own = (writes[0].stream_id, own_version(append), len(rows), len(rows) - before)
            commands.append((tenant, command_id, fingerprint, *own))
    return (*_streams(plan), *_commands(commands), *_events(rows))


def _columns(rows: Sequence[tuple[Any, ...]], number: int) -> Sequence[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * number


def _events(rows: list[tuple[Any, ...]]) -> tuple[bytes, ...]:
    ids, tenants, streams, versions, types, schemas, times, metadata, data = _columns(rows, 9)
    return (
        arrays.uuids(ids),
        arrays.texts(tenants),
        arrays.texts(streams),
        arrays.bigints(versions),
        arrays.texts(types),
        arrays.bigints(schemas),
        arrays.times(times),
        arrays.jsons(metadata),
        arrays.jsons(data),
    )


def _streams(plan: Plan) -> tuple[bytes, ...]:
    """Those that are new, those that grow, and those that are only checked."""
    new: list[tuple[str, str, int, int]] = []
    grown: list[tuple[str, str, int, int]] = []
    checked: list[tuple[str, str, int, int]] = []
    after = plan.after
    for key, version in plan.before.items():
        added = after[key] - version
        kind = checked if not added else grown if version else new
        kind.append((*key, version, added))
    new_tenants, new_ids, _, new_added = _columns(new, 4)
    tenants, ids, versions, growths = _columns(grown, 4)
    checked_tenants, checked_ids, checked_versions, _ = _columns(checked, 4)
    return (
        arrays.texts(new_tenants),
        arrays.texts(new_ids),
        arrays.bigints(new_added),
        arrays.texts(tenants),
        arrays.texts(ids),
        arrays.bigints(versions),
        arrays.bigints(growths),
        arrays.texts(checked_tenants),
        arrays.texts(checked_ids),
        arrays.bigints(checked_versions),
    )


def _commands(commands: list[tuple[str, str, bytes, str, int, int, int]]) -> tuple[bytes, ...]:
    tenants, command_ids, fingerprints, streams, versions, lasts, sizes = _columns(commands, 7)
    return (
        arrays.texts(tenants),
        arrays.different_texts(command_ids),
        arrays.blobs(fingerprints),
        arrays.texts(streams),
        arrays.bigints(versions),
        arrays.bigints(lasts),
        arrays.bigints(sizes),
    )


def refused_parameters(plan: Plan) -> tuple[bytes, ...]:
    """What a plan takes for granted: the versions of its streams, and that its command ids are new."""
    commands = list(plan.commands)
    return (
        arrays.texts([tenant for tenant, _ in plan.before]),
        arrays.texts([stream_id for _, stream_id in plan.before]),
        arrays.bigints(list(plan.before.values())),
        arrays.texts([tenant for tenant, _ in commands]),
        arrays.different_texts([command_id for _, command_id in commands]),
    )
