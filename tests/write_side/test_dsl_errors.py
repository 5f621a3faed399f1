"""What goes wrong and what is done about it: raise, try, catch, retry and timeouts (dsl-reference.md)."""

import pytest

from tests.write_side.dsl_case import CALL, Case, fails, trying
from tests.write_side.dsl_run import check

SOLD_OUT = "type: 'https://tests/sold-out', status: 409"
AT_A = "/do/0/a"
CAUGHT = "/do/0/t/try/0/c"
DOWN = fails(503)

RAISING = (
    Case(
        "Raise",
        "an error that nobody catches faults the run",
        f"do: [{{a: {{raise: {{error: {{{SOLD_OUT}, title: Sold out, detail: None left}}}}}}}}, {{b: {{set: {{x: 1}}}}}}]",
        error={
            "type": "https://tests/sold-out",
            "status": 409,
            "title": "Sold out",
            "detail": "None left",
            "instance": AT_A,
        },
        begun=["a"],
    ),
    Case(
        "Raise",
        "an error may be one that is declared under a name",
        f"use: {{errors: {{soldOut: {{{SOLD_OUT}}}}}}}\ndo: [{{a: {{raise: {{error: soldOut}}}}}}]",
        error={"type": "https://tests/sold-out", "status": 409, "instance": AT_A},
    ),
    Case(
        "Error",
        "title and detail may be expressions",
        f"do: [{{a: {{raise: {{error: {{{SOLD_OUT}, title: '${{ .t }}', detail: '${{ .d }}'}}}}}}}}]",
        {"t": "Sold out", "d": "Come again"},
        error={"title": "Sold out", "detail": "Come again"},
    ),
    Case(
        "Error",
        "what an expression yields for the title or detail and is no text stands there as JSON",
        f"do: [{{a: {{raise: {{error: {{{SOLD_OUT}, title: '${{ .t }}', detail: '${{ .d }}', instance: '${{ .i }}'}}}}}}}}]",
        {"t": True, "d": {"left": [True, None]}, "i": None},
        error={"title": "true", "detail": '{"left":[true,null]}', "instance": AT_A},
    ),
    Case(
        "Error",
        "a type that is no text is an error of the expression",
        "do: [{a: {raise: {error: {type: '${ .t }', status: 409}}}}]",
        {"t": None},
        error={"type": "https://open-workflow-specification.org/spec/1.0.0/errors/expression", "instance": AT_A},
    ),
    Case(
        "Error",
        "instance is set to the task that raises the error, in a scope",
        f"do: [{{a: {{do: [{{b: {{raise: {{error: {{{SOLD_OUT}}}}}}}}}]}}}}]",
        error={"instance": "/do/0/a/do/0/b"},
    ),
    Case(
        "Error",
        "instance is set to the task that raises the error, in a loop",
        f"do: [{{f: {{for: {{in: '[1]'}}, do: [{{b: {{raise: {{error: {{{SOLD_OUT}}}}}}}}}]}}}}]",
        error={"instance": "/do/0/f/do/0/b"},
    ),
    Case(
        "Error",
        "instance is set to the task that raises the error, where another error was caught",
        f"do: [{{t: {{try: [{{c: {{{CALL}}}}}], catch: {{do: [{{b: {{raise: {{error: {{{SOLD_OUT}}}}}}}}}]}}}}}}]",
        answers={"c": [DOWN]},
        error={"instance": "/do/0/t/catch/do/0/b", "status": 409},
    ),
    Case(
        "Standard Error Types",
        "a call that fails has the status that it was answered with",
        f"do: [{{a: {{{CALL}}}}}]",
        answers={"a": [fails(418)]},
        error={"status": 418, "instance": AT_A},
    ),
)

CATCHING = (
    Case(
        "Try",
        "without an error it yields what its last task yields",
        "do: [{t: {try: [{a: {set: {x: 1}}}, {b: {set: {y: '${ .x }'}}}], catch: {do: [{d: {set: {z: 1}}}]}}}]",
        output={"y": 1},
        begun=["t", "a", "b"],
    ),
    Case(
        "Catch",
        "without a filter every error is caught",
        trying("do: [{d: {set: {caught: true}}}]"),
        answers={"c": [fails(418, "runtime")]},
        output={"caught": True},
        begun=["t", "c", "d"],
    ),
    Case(
        "Catch",
        "without tasks of its own the run simply goes on",
        f"do: [{{t: {{try: [{{c: {{{CALL}}}}}], catch: {{}}}}}}, {{b: {{set: {{x: 1}}}}}}]",
        answers={"c": [DOWN]},
        output={"x": 1},
    ),
    Case(
        "Catch",
        "an error is caught by its status",
        trying("errors: {with: {status: 503}}, do: [{d: {set: {caught: true}}}]"),
        answers={"c": [DOWN]},
        output={"caught": True},
    ),
    Case(
        "Catch",
        "an error with another status is not caught",
        trying("errors: {with: {status: 503}}, do: [{d: {set: {caught: true}}}]"),
        answers={"c": [fails(404)]},
        error={"status": 404, "instance": CAUGHT},
        begun=["t", "c"],
    ),
    Case(
        "Catch",
        "an error has to have all that the filter names",
        trying(f"errors: {{with: {{status: 503, instance: {CAUGHT}, title: Another}}}}"),
        answers={"c": [DOWN]},
        error={"status": 503},
    ),
    Case(
        "Catch",
        "an error is caught by the task that raised it",
        trying(f"errors: {{with: {{instance: {CAUGHT}}}}}, do: [{{d: {{set: {{caught: true}}}}}}]"),
        answers={"c": [DOWN]},
        output={"caught": True},
    ),
    *(
        Case(
            "Standard Error Types",
            f"a standard error is caught under its type below {base}",
            trying(f"errors: {{with: {{type: {base}communication}}}}, do: [{{d: {{set: {{caught: true}}}}}}]"),
            answers={"c": [DOWN]},
            output={"caught": True},
        )
        for base in (
            "https://open-workflow-specification.org/spec/1.0.0/errors/",
            "https://open-workflow-specification.org/dsl/errors/types/",
            "https://serverlessworkflow.io/dsl/errors/types/",
        )
    ),
    Case(
        "Catch",
        "the error is called error unless it is given another name",
        trying("do: [{d: {set: {status: '${ $error.status }', at: '${ $error.instance }'}}}]"),
        answers={"c": [DOWN]},
        output={"status": 503, "at": CAUGHT},
    ),
    Case(
        "Catch",
        "the error has the name that it is given",
        trying("as: problem, do: [{d: {set: {status: '${ $problem.status }'}}}]"),
        answers={"c": [DOWN]},
        output={"status": 503},
    ),
    Case(
        "Catch",
        "an error is caught if a condition holds",
        trying("when: $error.status == 503, do: [{d: {set: {caught: true}}}]"),
        answers={"c": [DOWN]},
        output={"caught": True},
    ),
    Case(
        "Catch",
        "an error is not caught if a condition does not hold",
        trying("when: $error.status == 404, do: [{d: {set: {caught: true}}}]"),
        answers={"c": [DOWN]},
        error={"status": 503},
    ),
    Case(
        "Catch",
        "an error is not caught if it is an exception",
        trying("exceptWhen: $error.status == 503, do: [{d: {set: {caught: true}}}]"),
        answers={"c": [DOWN]},
        error={"status": 503},
    ),
    Case(
        "Catch",
        "then says where to go on once the error was handled",
        f"do: [{{t: {{try: [{{c: {{{CALL}}}}}], catch: {{do: [{{d: {{set: {{x: 1}}}}}}], then: b}}, then: a}}}},"
        " {a: {set: {at: a}, then: end}}, {b: {set: {at: b}}}]",
        answers={"c": [DOWN]},
        output={"at": "b"},
        begun=["t", "c", "d", "b"],
    ),
    Case(
        "Catch",
        "an error of the tasks that handle one is not caught again",
        trying(f"do: [{{d: {{raise: {{error: {{{SOLD_OUT}}}}}}}}}]"),
        answers={"c": [DOWN]},
        error={"status": 409},
    ),
    Case(
        "Catch",
        "what is tried again within a catch sees the error of that catch, and so does its output",
        f"do: [{{o: {{try: [{{r: {{raise: {{error: {{{SOLD_OUT}}}}}}}}}], catch: {{do: [{{t:"
        " {try: [{s: {set: '${ $error.status }'}},"
        f" {{c: {{{CALL}, output: {{as: '${{ [., $error.status, $input] }}'}}}}}}], catch: {{retry: {{delay: PT1S}}}},"
        " output: {as: '${ . + [$error.status] }'}}}]}}}]",
        answers={"c": [DOWN, 1]},
        output=[1, 409, 409, 409],
    ),
    Case(
        "Try",
        "what one try does not catch the one around it does",
        f"do: [{{o: {{try: [{{t: {{try: [{{c: {{{CALL}}}}}], catch: {{errors: {{with: {{status: 404}}}}}}}}}}],"
        " catch: {do: [{d: {set: {caught: true}}}]}}}]",
        answers={"c": [DOWN]},
        output={"caught": True},
    ),
    Case(
        "Try",
        "what comes after the task that failed has no turn",
        f"do: [{{t: {{try: [{{c: {{{CALL}}}}}, {{b: {{set: {{x: 1}}}}}}], catch: {{do: [{{d: {{set: {{y: 1}}}}}}]}}}}}}]",
        answers={"c": [DOWN]},
        output={"y": 1},
        begun=["t", "c", "d"],
    ),
)


@pytest.mark.parametrize("case", [*RAISING, *CATCHING], ids=str)
class TestErrors:
    def test_are_as_the_reference_says(self, case: Case) -> None:
        check(case)
