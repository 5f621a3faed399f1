"""Pure shapes: decider, projection, saga, work, notices. No clock, no uuid, no I/O; imports events only."""
