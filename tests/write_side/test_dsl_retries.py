"""What is tried again, how often and when, and what takes too long: retry and timeout (dsl-reference.md)."""

from itertools import pairwise

import pytest

from events.run import RunErrorCaught
from tests.write_side.dsl_case import CALL, UNSAID, Case, error, fails, trying
from tests.write_side.dsl_run import check, play

AT_A, CAUGHT = "/do/0/a", "/do/0/t/try/0/c"
DOWN = fails(503)
FIVE = "limit: {attempt: {count: 5}}"
BY_STATUS = '\'${ if $error.status == 503 then "PT2S" else "PT1S" end }\''

RETRYING = (
    Case(
        "Retry",
        "what failed is tried again from its first task",
        f"do: [{{t: {{try: [{{a: {{set: {{x: 1}}}}}}, {{c: {{{CALL}}}}}], catch: {{retry: {{{FIVE}}}}}}}}}]",
        answers={"c": [DOWN, "here"]},
        output="here",
        begun=["t", "a", "c", "a", "c"],
    ),
    Case(
        "Retry Limit",
        "what fails is retried as often as the limit says, and then the error stands",
        trying("retry: {limit: {attempt: {count: 2}}}"),
        answers={"c": [DOWN] * 3},
        error={"status": 503, "instance": CAUGHT},
        begun=["t", "c", "c", "c"],
    ),
    Case(
        "Retry",
        "a policy may be one that is declared under a name",
        trying("retry: often", f"use: {{retries: {{often: {{{FIVE}}}}}}}\n"),
        answers={"c": [DOWN, "here"]},
        output="here",
    ),
    Case(
        "Retry",
        "nothing is tried again if its condition does not hold",
        trying(f"retry: {{when: $error.status == 404, {FIVE}}}"),
        answers={"c": [DOWN, "here"]},
        error={"status": 503},
        begun=["t", "c"],
    ),
    Case(
        "Retry",
        "nothing is tried again if it is an exception",
        trying(f"retry: {{exceptWhen: $error.status == 503, {FIVE}}}"),
        answers={"c": [DOWN, "here"]},
        error={"status": 503},
        begun=["t", "c"],
    ),
    Case(
        "Retry Limit",
        "nothing is tried again once the time for all of it is over",
        trying("retry: {delay: PT10S, limit: {duration: PT25S}}"),
        answers={"c": [DOWN] * 9},
        error={"status": 503},
        begun=["t", "c", "c", "c"],
    ),
    Case(
        "Retry Limit",
        "nothing is tried again once the time for all attempts is over",
        trying("retry: {delay: PT10S, limit: {attempt: {count: 9, duration: PT25S}}}"),
        answers={"c": [DOWN] * 9},
        error={"status": 503},
        begun=["t", "c", "c", "c"],
    ),
    Case(
        "Retry",
        "an error that the filter leaves alone is not retried",
        trying(f"errors: {{with: {{status: 503}}}}, retry: {{{FIVE}}}"),
        answers={"c": [DOWN, fails(404)]},
        error={"status": 404},
        begun=["t", "c", "c"],
    ),
    *(
        Case(
            "Retry",
            f"the {what} may depend on the error",
            trying(f"retry: {{{how}}}"),
            answers={"c": [DOWN, DOWN, 1]},
            output=1,
        )
        for what, how in (
            ("delay", f"delay: {BY_STATUS}"),
            ("jitter", f"jitter: {{from: PT0S, to: {BY_STATUS}}}"),
            ("limit", f"limit: {{duration: {BY_STATUS}}}"),
        )
    ),
)
LONG = "wait: PT1M"

TIMEOUTS = (
    Case(
        "Timeout",
        "a task that takes too long faults with a timeout",
        f"do: [{{a: {{{LONG}, timeout: {{after: PT30S}}}}}}]",
        error=error("timeout", 408, AT_A),
    ),
    Case(
        "Timeout",
        "a task that takes no longer than it may goes on",
        f"do: [{{a: {{{LONG}, timeout: {{after: PT2M}}}}}}, {{b: {{set: {{x: 1}}}}}}]",
        output={"x": 1},
    ),
    Case(
        "Timeout",
        "a workflow that takes too long faults with a timeout",
        f"timeout: {{after: {{seconds: 30}}}}\ndo: [{{a: {{{LONG}}}}}]",
        error=error("timeout", 408),
    ),
    Case(
        "Timeout",
        "a timeout may be one that is declared under a name",
        f"use: {{timeouts: {{short: {{after: PT1S}}}}}}\ndo: [{{a: {{{LONG}, timeout: short}}}}]",
        error=error("timeout", 408, AT_A),
    ),
    Case(
        "Timeout",
        "a workflow's timeout may be one that is declared under a name",
        f"use: {{timeouts: {{short: {{after: PT1S}}}}}}\ntimeout: short\ndo: [{{a: {{{LONG}}}}}]",
        error=error("timeout", 408),
    ),
    Case(
        "Timeout",
        "a timeout interrupts what the task is made of",
        f"do: [{{a: {{do: [{{b: {{{LONG}}}}}, {{c: {{set: {{x: 1}}}}}}], timeout: {{after: PT30S}}}}}}]",
        error=error("timeout", 408, AT_A),
        begun=["a", "b"],
    ),
    Case(
        "Timeout",
        "a timeout can be caught",
        f"do: [{{t: {{try: [{{a: {{{LONG}, timeout: {{after: PT1S}}}}}}],"
        " catch: {errors: {with: {status: 408}}, do: [{d: {set: {late: true}}}]}}}]",
        output={"late": True},
    ),
)


@pytest.mark.parametrize("case", [*RETRYING, *TIMEOUTS], ids=str)
class TestRetriesAndTimeouts:
    def test_are_as_the_reference_says(self, case: Case) -> None:
        check(case)


def delays(policy: str) -> list[float]:
    """How many seconds lie between the moments at which the second, third and fourth retry are due."""
    case = Case("Backoff", "", trying(f"retry: {{{policy}, {FIVE}}}"), answers={"c": [DOWN] * 4 + [1]}, output=UNSAID)
    due = [each.retry_at for each in play(case).events if isinstance(each, RunErrorCaught)]
    return [(after - before).total_seconds() for before, after in pairwise(due) if before and after]


class TestTheDelayOfARetry:
    def test_stays_the_same_without_a_backoff(self) -> None:
        assert delays("delay: PT3S") == [3, 3, 3]

    def test_stays_the_same_if_its_backoff_is_constant(self) -> None:
        assert delays("delay: PT3S, backoff: {constant: {}}") == [3, 3, 3]

    def test_grows_by_itself_if_its_backoff_is_linear(self) -> None:
        assert delays("delay: PT3S, backoff: {linear: {}}") == [6, 9, 12]

    def test_doubles_if_its_backoff_is_exponential(self) -> None:
        assert delays("delay: PT3S, backoff: {exponential: {}}") == [6, 12, 24]

    def test_varies_within_its_jitter(self) -> None:
        found = delays("delay: PT3S, jitter: {from: PT1S, to: PT2S}")
        assert all(4 <= delay <= 5 for delay in found)
        assert len(set(found)) > 1
