"""The interpreter: how a run goes on, in small steps that are events. Pure, like the rest of the write side.

`step(run, plan)` says what happens next, one event or a few that belong together; `evolve(state, event)` says what is so after it, without
ever evaluating an expression: what one yielded is in the event. So a run can stop after any event and go on from there. One file per
theme: `state.py` what is known of a run, `plan.py` its definition made ready, `steps.py` what happens next, `evolve.py` what is so then.

To add a kind of task: what it does when it begins (`beginning.py`), and how it goes on (`steps.py`).
"""
