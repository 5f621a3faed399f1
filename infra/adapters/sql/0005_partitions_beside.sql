-- A new partition is made beside the log and then attached, which waits for nobody who reads: to create it as a partition would wait for
-- every reader, and all appends behind it.

CREATE OR REPLACE FUNCTION ensure_partitions(p_until bigint, p_size bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_first bigint;
BEGIN
    LOCK TABLE event_partition IN SHARE ROW EXCLUSIVE MODE;
    LOOP
        SELECT COALESCE(max(next_position), 1) INTO v_first FROM event_partition;
        EXIT WHEN v_first > p_until;
        EXECUTE format('CREATE TABLE event_%s (LIKE event INCLUDING DEFAULTS INCLUDING STORAGE)', v_first);
        EXECUTE format('ALTER TABLE event ATTACH PARTITION event_%s FOR VALUES FROM (%s) TO (%s)', v_first, v_first, v_first + p_size);
        INSERT INTO event_partition (first_position, next_position) VALUES (v_first, v_first + p_size);
    END LOOP;
    RETURN v_first;
END
$$;
