"""One group commit as the parameters of the SQL functions `append` and `append_refused`. Pure."""

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


def _events(rows: list[tuple[Any, ...]]) -> tuple[bytes, ...]:
    ids, tenants, streams, versions, types, schemas, times, metadata, data = (
        zip(*rows, strict=True) if rows else [()] * 9
    )
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
    return (
        arrays.texts([stream[0] for stream in new]),
        arrays.texts([stream[1] for stream in new]),
        arrays.bigints([stream[3] for stream in new]),
        arrays.texts([stream[0] for stream in grown]),
        arrays.texts([stream[1] for stream in grown]),
        arrays.bigints([stream[2] for stream in grown]),
        arrays.bigints([stream[3] for stream in grown]),
        arrays.texts([stream[0] for stream in checked]),
        arrays.texts([stream[1] for stream in checked]),
        arrays.bigints([stream[2] for stream in checked]),
    )


def _commands(commands: list[tuple[str, str, bytes, str, int, int, int]]) -> tuple[bytes, ...]:
    return (
        arrays.texts([command[0] for command in commands]),
        arrays.different_texts([command[1] for command in commands]),
        arrays.blobs([command[2] for command in commands]),
        arrays.texts([command[3] for command in commands]),
        arrays.bigints([command[4] for command in commands]),
        arrays.bigints([command[5] for command in commands]),
        arrays.bigints([command[6] for command in commands]),
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
