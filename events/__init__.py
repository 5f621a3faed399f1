"""What happened: the public contract of Foldwork, one file per stream.

May import pydantic and the standard library, nothing of ours. Everything else may import this.

To add an event: write a frozen class with an explicit `type` in the file of its stream and name it in the union at the
foot of that file. To add a stream: add the file and one line in `catalog.py`. A published event is never changed: raise its
`version` and add an upcaster.
"""
