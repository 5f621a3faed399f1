"""Runtime expressions of workflows: jq programs, templates that hold them, durations, URI templates and schemas, bounded in time and size.

`program.evaluate` runs one program, in this process if it is provably cheap and else in a guarded child process; `template.fill` walks a
text of the workflow language; `schema.violations` checks a value. A failure is always `ExpressionFailed` and never quotes the data.

To allow another builtin of jq in this process: give it its bounds in `builtins.py`. To forbid one: `lexer.NAMES_REFUSED`.
"""
