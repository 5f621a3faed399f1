"""Workflow definitions: the typed model of the Open Workflow Specification's DSL 1.0.3, and how a document is read into it.

Pure, like the rest of the write side: parsed JSON goes in, a frozen model or a rejection comes out. One file per theme: `document.py`
is the root, `tasks.py` the twelve kinds of tasks, `reading.py` the way in. Fields have the specification's names, in snake case
and with an underscore behind where Python has a use for the name (`if_`, `with_`). What the official schema leaves open is open here, and
nothing else is.
"""
