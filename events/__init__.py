"""What happened: the public contract of Foldwork, one file per stream.

May import pydantic and the standard library, nothing of ours. Everything else may import this.

The lifecycle events of the specification (`lifecycle.py`) are none of these: they are told of runs, by a pure fold of a run's events
(`run_lifecycle.py`), to whoever reads or listens.

To add an event: write a frozen class with an explicit `type` in the file of its stream and name it in the union at the
foot of that file. To add a stream: add the file and one line in `catalog.py`. A published event is never changed: raise its
`version` and add an upcaster.
"""
