-- The log of one shard: streams, events, command ids and the head that every append takes.

CREATE TABLE log_head (
    shard    integer PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE stream (
    tenant_id text   NOT NULL COLLATE "C",
    stream_id text   NOT NULL COLLATE "C",
    category  text   NOT NULL COLLATE "C",
    version   bigint NOT NULL,
    status    text   NOT NULL DEFAULT 'open',
    PRIMARY KEY (tenant_id, stream_id)
) WITH (fillfactor = 80);

CREATE TABLE event (
    position       bigint      NOT NULL,
    id             uuid        NOT NULL,
    tenant_id      text        NOT NULL COLLATE "C",
    stream_id      text        NOT NULL COLLATE "C",
    stream_version bigint      NOT NULL,
    type           text        NOT NULL COLLATE "C",
    schema_version integer     NOT NULL,
    occurred_at    timestamptz NOT NULL,
    metadata       json        NOT NULL,
    data           json        NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);

CREATE INDEX event_by_stream ON event (stream_id, stream_version, tenant_id);

CREATE TABLE command (
    tenant_id   text    NOT NULL COLLATE "C",
    command_id  text    NOT NULL COLLATE "C",
    fingerprint bytea   NOT NULL,
    stream_id   text    NOT NULL COLLATE "C",
    version     bigint  NOT NULL,
    position    bigint  NOT NULL,
    events      integer NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);

CREATE TABLE event_partition (
    first_position bigint PRIMARY KEY,
    next_position  bigint NOT NULL
);

CREATE FUNCTION ensure_partitions(p_until bigint, p_size bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_first bigint;
BEGIN
    LOCK TABLE event_partition IN SHARE ROW EXCLUSIVE MODE;
    LOOP
        SELECT COALESCE(max(next_position), 1) INTO v_first FROM event_partition;
        EXIT WHEN v_first > p_until;
        EXECUTE format('CREATE TABLE event_%s PARTITION OF event FOR VALUES FROM (%s) TO (%s)', v_first, v_first, v_first + p_size);
        INSERT INTO event_partition (first_position, next_position) VALUES (v_first, v_first + p_size);
    END LOOP;
    RETURN v_first;
END
$$;
