"""Named points where a test may kill the process: `FOLDWORK_CRASH_POINT=relay.after_publish:3` dies there the third time.

With `FOLDWORK_CRASH_LATCH=<file>` only the first process that gets so far dies, and none after it: the file tells them.
"""

import os
import signal

CRASH_POINTS = (
    "append.before_send",
    "append.after_commit",
    "relay.after_read",
    "relay.mid_batch",
    "relay.after_publish",
    "consumer.after_fetch",
    "consumer.before_commit",
    "consumer.after_commit",
    "saga.before_commands",
    "saga.mid_commands",
    "saga.before_checkpoint",
    "saga.after_checkpoint",
    "timer.before_command",
    "timer.after_command",
    "activity.before",
    "activity.after",
    "activity.after_command",
)

_armed, _, _count = os.environ.get("FOLDWORK_CRASH_POINT", "").partition(":")
_left = int(_count or 1)
_latch = os.environ.get("FOLDWORK_CRASH_LATCH")


def crash_point(name: str) -> None:
    """Die by SIGKILL if a test armed this point; nothing otherwise."""
    global _left
    if name != _armed:
        return
    _left -= 1
    if _left > 0:
        return
    if _latch is not None:
        try:
            os.close(os.open(_latch, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
