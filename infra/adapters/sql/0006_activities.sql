-- What has to be done outside the log and is not done yet; kept with the checkpoint of whoever does it.

CREATE TABLE activity (
    performer      text    NOT NULL COLLATE "C",
    shard          integer NOT NULL,
    tenant_id      text    NOT NULL COLLATE "C",
    key            text    NOT NULL COLLATE "C",
    stream_id      text    NOT NULL,
    causation_id   text    NOT NULL,
    correlation_id text    NOT NULL,
    PRIMARY KEY (performer, shard, tenant_id, key)
);
