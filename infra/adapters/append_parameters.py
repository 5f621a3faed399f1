"""One group commit as the parameters of the SQL function `append`. Pure."""

from typing import Any

from infra.adapters import postgres_arrays as arrays
from infra.adapters.append_plan import Plan
from infra.adapters.event_store import own_version


def append_parameters(plan: Plan) -> tuple[bytes, ...]:
    """A plan as arrays. Raises ValueError or TypeError for text that is no UTF-8, numbers out of range, times without a zone."""
    streams = list(plan.before.items())
    e_id: list[bytes] = []
    e_tenant: list[str] = []
    e_stream: list[str] = []
    e_version: list[int] = []
    e_type: list[str] = []
    e_schema: list[int] = []
    e_at: list[Any] = []
    e_metadata: list[bytes] = []
    e_data: list[bytes] = []
    commands: list[tuple[str, str, bytes, str, int, int, int]] = []
    for append in plan.appends:
        tenant, count = append.tenant_id, 0
        for write in append.writes:
            stream_id, version = write.stream_id, write.expected
            for event in write.events:
                version += 1
                count += 1
                e_id.append(event.id)
                e_tenant.append(tenant)
                e_stream.append(stream_id)
                e_version.append(version)
                e_type.append(event.type)
                e_schema.append(event.schema_version)
                e_at.append(append.occurred_at)
                e_metadata.append(append.metadata)
                e_data.append(event.data)
        if append.command_id is not None:
            own = (append.writes[0].stream_id, own_version(append), len(e_id), count)
            commands.append((tenant, append.command_id, append.fingerprint, *own))
    return (
        arrays.texts([tenant for (tenant, _), _ in streams]),
        arrays.texts([stream_id for (_, stream_id), _ in streams]),
        arrays.bigints([version for _, version in streams]),
        arrays.bigints([plan.after[key] - version for key, version in streams]),
        arrays.texts([command[0] for command in commands]),
        arrays.texts([command[1] for command in commands]),
        arrays.blobs([command[2] for command in commands]),
        arrays.texts([command[3] for command in commands]),
        arrays.bigints([command[4] for command in commands]),
        arrays.bigints([command[5] for command in commands]),
        arrays.bigints([command[6] for command in commands]),
        arrays.uuids(e_id),
        arrays.texts(e_tenant),
        arrays.texts(e_stream),
        arrays.bigints(e_version),
        arrays.texts(e_type),
        arrays.bigints(e_schema),
        arrays.times(e_at),
        arrays.jsons(e_metadata),
        arrays.jsons(e_data),
    )
