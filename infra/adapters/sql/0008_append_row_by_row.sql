-- As 0004, and what it says holds. But the arrays are taken apart one row at a time: a function in FROM is first written down as a whole
-- and then read again, once for each of its arrays: 14.0 us an event in an append of 500, and 12.7 without.

CREATE OR REPLACE FUNCTION append(
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
        FROM (SELECT unnest(g_tenant) t, unnest(g_stream) s, unnest(g_expected) expected, unnest(g_added) added) w
        WHERE o.tenant_id = w.t AND o.stream_id = w.s AND o.version = w.expected;
        GET DIAGNOSTICS v_grown = ROW_COUNT;
        IF v_grown <> cardinality(g_stream) THEN
            RAISE EXCEPTION 'a stream has moved' USING ERRCODE = 'FW409';
        END IF;
    END IF;

    IF cardinality(n_stream) > 0 THEN
        INSERT INTO stream (tenant_id, stream_id, category, version)
        SELECT w.t, w.s, split_part(w.s, '-', 1), w.added
        FROM (SELECT unnest(n_tenant) t, unnest(n_stream) s, unnest(n_added) added) w;
    END IF;

    IF cardinality(k_stream) > 0 AND EXISTS (
        SELECT FROM (SELECT unnest(k_tenant) t, unnest(k_stream) s, unnest(k_expected) expected) w
        LEFT JOIN stream o ON o.tenant_id = w.t AND o.stream_id = w.s
        WHERE COALESCE(o.version, 0) <> w.expected
    ) THEN
        RAISE EXCEPTION 'a stream has moved' USING ERRCODE = 'FW409';
    END IF;

    INSERT INTO event (position, id, tenant_id, stream_id, stream_version, type, schema_version, occurred_at, metadata, data)
    SELECT v_head + generate_subscripts(e_id, 1), unnest(e_id), unnest(e_tenant), unnest(e_stream), unnest(e_version),
           unnest(e_type), unnest(e_schema), unnest(e_at), unnest(e_metadata), unnest(e_data);

    IF cardinality(c_id) > 0 THEN
        INSERT INTO command (tenant_id, command_id, fingerprint, stream_id, version, position, events)
        SELECT unnest(c_tenant), unnest(c_id), unnest(c_fingerprint), unnest(c_stream), unnest(c_version),
               v_head + unnest(c_offset), unnest(c_events);
    END IF;

    RETURN v_head;
END
$$;
