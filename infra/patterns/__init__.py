"""Pure shapes: decider, projection, saga, work. No clock, no uuid, no I/O; imports events only."""
