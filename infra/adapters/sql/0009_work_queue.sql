-- How far a queue of work was filled, with the checkpoint of whoever offers: a queue that is not so far any more was put back from an older copy.

CREATE TABLE work_queue (
    consumer text    NOT NULL COLLATE "C",
    shard    integer NOT NULL,
    sequence bigint  NOT NULL,
    PRIMARY KEY (consumer, shard)
) WITH (fillfactor = 50);
