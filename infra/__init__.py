"""The machine: how Foldwork runs. No business noun lives here.

May import `events` only. `patterns` is pure, `adapters` does I/O, `engines` runs loops, `expressions` evaluates those of a
workflow, `calls` carries out its calls, `embedded` brings Postgres and NATS for one machine, `client` is what users import, a distribution
of its own, `deploy` is what operators copy.

To add an adapter: write it beside the others with a contract suite in tests/contract. To add an engine: give it its
dependencies as arguments; a folder's `__main__.py` wires them.
"""
