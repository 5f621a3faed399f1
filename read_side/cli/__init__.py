"""What people type: commands that talk to the two APIs over HTTP, each noun in a module of its own.

`infra/cli.py` finds a noun by its entry point (group `foldwork.commands`, in pyproject.toml). These modules may import `projections`: a
row means here what it means to the query API. Exit codes are those of every command: 0 done, 1 failed, 2 wrong usage.

To add a command: a function in the module of its noun, with `client.py` for its requests and `options.py` for what others take too.
"""
