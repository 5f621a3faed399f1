"""Pure shapes: decider, projection, saga. No clock, no uuid, no I/O; imports events only."""
