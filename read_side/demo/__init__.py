"""The demo: drives Foldwork through its public HTTP API on recorded input, and compares what it answers with the files.

It stands for the outside clients: a submitting user, agent workers, node workers. It may import `infra` to start a
system, the schema's limits from `events` and the command line's drawing of a run, but it knows what Foldwork did only from the two APIs.

To add input: a loader that gives the types of `scenario.py`, its totals in `totals.py`, and a driver beside the others.
To add a workflow: its YAML, its agents and its comparisons as in `trips.py`, and one line in `WORKFLOWS` of `workflows.py`.
To add a comparison: one line in a function of `checks.py`.
"""
