-- One append of many commands, written as if nothing stood in its way: most often nothing does, and then each table is touched once.
-- Otherwise all of it fails with FW409 or a unique violation, and `append_refused` says what stood in the way.
-- n_*: streams that must not exist yet, g_*: streams that grow, with the version each must have now, k_*: streams that are only checked.
-- c_*: each command id, with the answer it shall give when it is asked again; c_offset counts from the head.
-- e_*: the events in log order.
-- Gives the head before the append.
-- Plans are cached while the tables are still empty: the calling session turns off sequential scans, hash and merge joins, or they
-- would scan the tables for ever.

DROP FUNCTION append;

CREATE FUNCTION append(
    p_shard integer,
    n_tenant text[], n_stream text[], n_added bigint[],
    g_tenant text[], g_stream text[], g_expected bigint[], g_added bigint[],
    k_tenant text[], k_stream text[], k_expected bigint[],
    c_tenant text[], c_id text[], c_fingerprint bytea[], c_stream text[], c_version bigint[], c_offset bigint[], c_events bigint[],
    e_id uuid[], e_tenant text[], e_stream text[], e_version bigint[], e_type text[], e_schema bigint[],
    e_at timestamptz[], e_metadata json[], e_data json[]
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_head bigint;
    v_grown bigint;
BEGIN
    -- Whoever appends waits here: all that follows sees what is committed, and nothing of it moves.
    UPDATE log_head SET position = position + cardinality(e_id) WHERE shard = p_shard RETURNING position - cardinality(e_id) INTO STRICT v_head;

    IF cardinality(g_stream) > 0 THEN
        UPDATE stream o SET version = w.expected + w.added
        FROM unnest(g_tenant, g_stream, g_expected, g_added) AS w (t, s, expected, added)
        WHERE o.tenant_id = w.t AND o.stream_id = w.s AND o.version = w.expected;
        GET DIAGNOSTICS v_grown = ROW_COUNT;
        IF v_grown <> cardinality(g_stream) THEN
            RAISE EXCEPTION 'a stream has moved' USING ERRCODE = 'FW409';
        END IF;
    END IF;

    IF cardinality(n_stream) > 0 THEN
        INSERT INTO stream (tenant_id, stream_id, category, version)
        SELECT w.t, w.s, split_part(w.s, '-', 1), w.added FROM unnest(n_tenant, n_stream, n_added) AS w (t, s, added);
    END IF;

    IF cardinality(k_stream) > 0 AND EXISTS (
        SELECT FROM unnest(k_tenant, k_stream, k_expected) AS w (t, s, expected)
        LEFT JOIN stream o ON o.tenant_id = w.t AND o.stream_id = w.s
        WHERE COALESCE(o.version, 0) <> w.expected
    ) THEN
        RAISE EXCEPTION 'a stream has moved' USING ERRCODE = 'FW409';
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

    RETURN v_head;
END
$$;

-- Which streams are not where an append wants them, with the version they have, and which command ids are known.
CREATE FUNCTION append_refused(s_tenant text[], s_stream text[], s_expected bigint[], c_tenant text[], c_id text[])
RETURNS TABLE (outcome text, tenant text, subject text, number bigint)
LANGUAGE sql STABLE AS $$
    SELECT 'conflict', w.t, w.s, COALESCE(o.version, 0)
    FROM unnest(s_tenant, s_stream, s_expected) AS w (t, s, expected)
    LEFT JOIN stream o ON o.tenant_id = w.t AND o.stream_id = w.s
    WHERE COALESCE(o.version, 0) <> w.expected
    UNION ALL
    SELECT 'duplicate', k.tenant_id, k.command_id, 0::bigint
    FROM unnest(c_tenant, c_id) AS w (t, i)
    JOIN command k ON k.tenant_id = w.t AND k.command_id = w.i
$$;
