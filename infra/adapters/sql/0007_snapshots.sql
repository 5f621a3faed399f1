-- States of long streams, so that they need not be folded from their first event; each can be thrown away at any time.

CREATE TABLE stream_snapshot (
    tenant_id text    NOT NULL COLLATE "C",
    stream_id text    NOT NULL COLLATE "C",
    form      integer NOT NULL,
    version   bigint  NOT NULL,
    state     json    NOT NULL,
    PRIMARY KEY (tenant_id, stream_id)
);
