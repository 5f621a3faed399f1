"""What follows from what: each saga watches the log and sends the commands that many streams need together.

May import `events`, the patterns and expressions of `infra`, and the commands of `write_side`, nothing else: what a saga must know about
is an event. A command that is refused is dropped; where somebody waits for its effect it is sent as an `Ask`, which says what to send then.

To add a saga: write its state, `react` and the bound Saga in a file named `do_x_on_y.py`, and add one line in
`catalog.py`. `react` sees each event once and in log order; a command that it sends is executed later, when other
events may have come first. A snapshot keeps no order of the keys in a dict: what has an order is in a list or sorted.
When the state changes shape, raise the saga's `version`.
"""
