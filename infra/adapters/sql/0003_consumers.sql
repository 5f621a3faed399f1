-- Where each consumer stands, what it parked, the timers of sagas and the last sign of life of whatever sends heartbeats.

CREATE TABLE checkpoint (
    consumer text    NOT NULL COLLATE "C",
    shard    integer NOT NULL,
    position bigint  NOT NULL,
    version  integer NOT NULL,
    kind     text    NOT NULL,
    paused   boolean NOT NULL DEFAULT false,
    rebuild  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (consumer, shard)
) WITH (fillfactor = 50);

CREATE TABLE dead_letter (
    consumer  text        NOT NULL COLLATE "C",
    shard     integer     NOT NULL,
    position  bigint      NOT NULL,
    tenant_id text        NOT NULL,
    stream_id text        NOT NULL COLLATE "C",
    type      text        NOT NULL,
    cause     text        NOT NULL,
    attempts  integer     NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    wanted    text        NOT NULL DEFAULT 'park' CHECK (wanted IN ('park', 'retry', 'discard')),
    PRIMARY KEY (consumer, shard, position)
);

CREATE INDEX dead_letter_by_stream ON dead_letter (consumer, shard, tenant_id, stream_id, position);

CREATE TABLE saga_state (
    saga      text    NOT NULL COLLATE "C",
    shard     integer NOT NULL,
    position  bigint  NOT NULL,
    version   integer NOT NULL,
    states    jsonb   NOT NULL,
    PRIMARY KEY (saga, shard)
);

CREATE TABLE timer (
    shard      integer     NOT NULL,
    timer_id   text        NOT NULL COLLATE "C",
    due_at     timestamptz NOT NULL,
    tenant_id  text        NOT NULL,
    saga       text        NOT NULL,
    command    text        NOT NULL,
    fields     json        NOT NULL,
    causation_id text      NOT NULL,
    correlation_id text    NOT NULL,
    PRIMARY KEY (shard, timer_id)
);

CREATE INDEX timer_by_due ON timer (shard, due_at);

CREATE TABLE heartbeat (
    tenant_id text        NOT NULL COLLATE "C",
    stream_id text        NOT NULL COLLATE "C",
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream_id)
) WITH (fillfactor = 70);
