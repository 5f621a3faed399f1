"""How much a property is tried: all of it, or a share of that where the answer has to come at once (`just test-fast`).

Every test that starts no server and no process runs in both sizes. The small one leaves out nine of ten examples of a property (three stay
at least, the same each time), nine of ten definitions that are changed at random and judged as the official schema judges them, the slow
one of its two validators, all but twenty of the thousand expressions that a definition may hold, nine of ten repetitions in a text that is
refused and of what is too much or very many elsewhere, the later part of what happens to a cluster while jobs are placed, how long
functions are, and, after a saga's first twenty events, nine of ten of its restarts from a snapshot.
"""

from hypothesis import settings

FAST = "fast"
"""The profile of Hypothesis (`--hypothesis-profile=fast`) that asks for the small size; without it everything is tried."""
_SHARE = 10
_EXAMPLES_MIN = 3

# Before pytest is asked for it. Where a test does not say how many examples, it is a hundred of them otherwise.
settings.register_profile(FAST, derandomize=True, database=None, max_examples=100 // _SHARE)


def is_fast() -> bool:
    return settings.get_current_profile_name() == FAST


def examples(number: int) -> int:
    """So many examples, or a tenth of them; three at least."""
    return max(number // _SHARE, _EXAMPLES_MIN) if is_fast() else number
