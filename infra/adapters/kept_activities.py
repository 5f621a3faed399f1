"""The activities that a performer has begun and not ended, kept with its checkpoint: the statements for `Checkpoints.move`."""

READ = (
    "SELECT tenant_id, key, stream_id, causation_id, correlation_id FROM activity WHERE performer = %s AND shard = %s"
)
KEEP = """
INSERT INTO activity (performer, shard, tenant_id, key, stream_id, causation_id, correlation_id)
SELECT m.consumer, m.shard, u.tenant_id, u.key, u.stream_id, u.causation_id, u.correlation_id
FROM moved m, unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS u (tenant_id, key, stream_id, causation_id, correlation_id)
ON CONFLICT DO NOTHING
"""
FORGET = """
DELETE FROM activity a USING moved m, unnest(%s::text[], %s::text[]) AS u (tenant_id, key)
WHERE (a.performer, a.shard, a.tenant_id, a.key) = (m.consumer, m.shard, u.tenant_id, u.key)
"""
