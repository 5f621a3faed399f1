"""How many of the appends that wait go in the next call. Pure.

Whoever is answered comes back with the next command. If all go in one call they all come back at once, and are decided while the database
stands idle, which is then busy while nobody decides. So they go in two parts that take turns: one is written while the other is decided.
"""

from math import inf

_FORGOTTEN = 1.01
"""By so much the shortest call counts as longer with each call after it: a database may become slower for good."""
_IDLE_CALLS_MAX = 2.0
"""After so many times as long as the last call took, nobody came back at once: there was little to do."""


class Turns:
    """Once divided, the parts last by themselves: each waits for the other's call. So they divide after a pause, and are kept even."""

    def __init__(self) -> None:
        self._shortest_s = inf
        self._last_s = 0.0
        self._divided = False
        self._last_share = 0

    def took(self, call_s: float) -> None:
        """A call has ended after so many seconds."""
        self._last_s = call_s
        self._shortest_s = min(self._shortest_s * _FORGOTTEN, call_s)

    def share(self, waiting: int, idle_s: float) -> int:
        """How many of those that wait should go, after so many seconds without a call.

        One call more costs about what the shortest took (the way there and the flush to disk), and saves at most the pause.
        """
        elsewhere = waiting
        if idle_s > _IDLE_CALLS_MAX * self._last_s:
            self._divided = False
        elif idle_s > self._shortest_s:
            self._divided, elsewhere = True, 0
        elif self._divided:
            # Those of the last call come back while this one is under way.
            elsewhere = self._last_share
        self._last_share = min(waiting, (waiting + elsewhere + 1) // 2)
        return self._last_share
