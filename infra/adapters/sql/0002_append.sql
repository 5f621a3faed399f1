-- One append of many commands: all of it is written, or nothing and the rows say which commands stand in the way.
-- s_*: each stream once, with the version it must have now and how many events it gains (0 = checked only).
-- c_*: each command id, with the answer it shall give when it is asked again; c_offset counts from the head.
-- e_*: the events in log order.
-- Plans are cached while the tables are still empty: the calling session turns off sequential scans, hash and merge joins, or they
-- would scan the tables for ever.

CREATE FUNCTION append(
    p_shard integer,
    s_tenant text[], s_stream text[], s_expected bigint[], s_added bigint[],
    c_tenant text[], c_id text[], c_fingerprint bytea[], c_stream text[], c_version bigint[], c_offset bigint[], c_events bigint[],
    e_id uuid[], e_tenant text[], e_stream text[], e_version bigint[], e_type text[], e_schema bigint[],
    e_at timestamptz[], e_metadata json[], e_data json[]
) RETURNS TABLE (outcome text, tenant text, subject text, number bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_head bigint;
    v_clean boolean := true;
BEGIN
    SELECT h.position INTO STRICT v_head FROM log_head h WHERE h.shard = p_shard FOR UPDATE;

    IF EXISTS (
        SELECT FROM unnest(s_tenant, s_stream, s_expected) AS w (t, s, expected)
        LEFT JOIN stream o ON o.tenant_id = w.t AND o.stream_id = w.s
        WHERE COALESCE(o.version, 0) <> w.expected
    ) THEN
        RETURN QUERY
        SELECT 'conflict', w.t, w.s, COALESCE(o.version, 0)
        FROM unnest(s_tenant, s_stream, s_expected) AS w (t, s, expected)
        LEFT JOIN stream o ON o.tenant_id = w.t AND o.stream_id = w.s
        WHERE COALESCE(o.version, 0) <> w.expected;
        v_clean := false;
    END IF;

    IF cardinality(c_id) > 0 AND EXISTS (
        SELECT FROM unnest(c_tenant, c_id) AS w (t, i)
        JOIN command k ON k.tenant_id = w.t AND k.command_id = w.i
    ) THEN
        RETURN QUERY
        SELECT 'duplicate', k.tenant_id, k.command_id, 0::bigint
        FROM unnest(c_tenant, c_id) AS w (t, i)
        JOIN command k ON k.tenant_id = w.t AND k.command_id = w.i;
        v_clean := false;
    END IF;

    IF NOT v_clean THEN
        RETURN;
    END IF;

    IF 0 = ANY (s_expected) THEN
        INSERT INTO stream (tenant_id, stream_id, category, version)
        SELECT w.t, w.s, split_part(w.s, '-', 1), w.added
        FROM unnest(s_tenant, s_stream, s_expected, s_added) AS w (t, s, expected, added)
        WHERE w.expected = 0 AND w.added > 0;
    END IF;

    IF 0 < ANY (s_expected) THEN
        UPDATE stream o SET version = w.expected + w.added
        FROM unnest(s_tenant, s_stream, s_expected, s_added) AS w (t, s, expected, added)
        WHERE o.tenant_id = w.t AND o.stream_id = w.s AND w.expected > 0 AND w.added > 0;
    END IF;

    INSERT INTO event (position, id, tenant_id, stream_id, stream_version, type, schema_version, occurred_at, metadata, data)
    SELECT v_head + w.n, w.id, w.t, w.s, w.v, w.type, w.schema, w.at, w.metadata, w.data
    FROM unnest(e_id, e_tenant, e_stream, e_version, e_type, e_schema, e_at, e_metadata, e_data)
         WITH ORDINALITY AS w (id, t, s, v, type, schema, at, metadata, data, n);

    IF cardinality(c_id) > 0 THEN
        INSERT INTO command (tenant_id, command_id, fingerprint, stream_id, version, position, events)
        SELECT w.t, w.i, w.f, w.s, w.v, v_head + w.o, w.n
        FROM unnest(c_tenant, c_id, c_fingerprint, c_stream, c_version, c_offset, c_events) AS w (t, i, f, s, v, o, n);
    END IF;

    UPDATE log_head SET position = v_head + cardinality(e_id) WHERE shard = p_shard;

    outcome := 'appended';
    tenant := NULL;
    subject := NULL;
    number := v_head;
    RETURN NEXT;
END
$$;
