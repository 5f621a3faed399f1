"""What the tasks of a workflow share, and the tasks that wait or run something else (dsl-reference.md)."""

import pytest

from events.run import RunTaskStarted
from events.run_parts import CallAwaited, JobAwaited, TimerAwaited
from tests.write_side.dsl_case import CALL, UNSAID, Case, error, has
from tests.write_side.dsl_run import check, play
from write_side.interpreter.scope import DURATION_S_MAX

TELLING = "emit: {event: {with: {type: %s, data: '${ $task.reference }'}}}"
BEFORE, AFTER = TELLING % "before", TELLING % "after"


def extended(extension: str, tasks: str) -> str:
    """A definition with one extension."""
    return f"use: {{extensions: [{{x: {{{extension}}}}}]}}\ndo: [{tasks}]"


EXTENSIONS = (
    Case(
        "Extension",
        "what is before and after a task is done around it, and knows which one it is",
        extended(f"extend: all, before: [{{b: {{{BEFORE}}}}}], after: [{{e: {{{AFTER}}}}}]", "{a: {set: {x: 1}}}"),
        output={"x": 1},
        emitted=[{"type": "before", "data": "/do/0/a"}, {"type": "after", "data": "/do/0/a"}],
    ),
    Case(
        "Extension",
        "neither changes what the task is given or what it yields",
        extended("extend: set, before: [{b: {emit: {event: {with: {type: x}}}}}]", "{a: {set: {got: '${ . }'}}}"),
        {"n": 1},
        output={"got": {"n": 1}},
    ),
    Case(
        "Extension",
        "only tasks of its kind are extended",
        extended(f"extend: call, before: [{{b: {{{BEFORE}}}}}]", f"{{a: {{set: {{x: 1}}}}}}, {{c: {{{CALL}}}}}"),
        answers={"c": ["here"]},
        output="here",
        emitted=[{"type": "before", "data": "/do/1/c"}],
    ),
    Case(
        "Extension",
        "a composite is a task that does others",
        extended(f"extend: composite, before: [{{b: {{{BEFORE}}}}}]", "{a: {do: [{c: {set: {x: 1}}}]}}"),
        emitted=[{"type": "before", "data": "/do/0/a"}],
    ),
    Case(
        "Extension",
        "a task is extended only if the condition holds for it",
        extended(
            f'extend: all, when: $task.name == "b", before: [{{e: {{{BEFORE}}}}}]',
            "{a: {set: {x: 1}}}, {b: {set: {y: 1}}}",
        ),
        emitted=[{"type": "before", "data": "/do/1/b"}],
    ),
    Case(
        "Extension",
        "a task is left out if what is before it exits, and yields what that has set",
        extended(
            "extend: call, before: [{m: {set: {mocked: true}, then: exit}}]",
            f"{{c: {{{CALL}}}}}, {{d: {{set: '${{ . }}'}}}}",
        ),
        output={"mocked": True},
    ),
    Case(
        "Extension",
        "an error of what is before a task is the task's",
        extended(
            "extend: set, before: [{b: {raise: {error: {type: 'https://tests/no', status: 403}}}}]",
            "{a: {set: {x: 1}}}",
        ),
        error={"status": 403},
    ),
    Case(
        "Extension",
        "the condition may ask what the task calls",
        extended(
            f'extend: call, when: $task.definition.call == "http", before: [{{b: {{{BEFORE}}}}}]', f"{{c: {{{CALL}}}}}"
        ),
        answers={"c": [1]},
        emitted=[{"type": "before"}],
    ),
)

FUNCTIONS = (
    Case(
        "Use",
        "a function is a task that is given what it is called with",
        "use: {functions: {double: {set: {twice: '${ .n * 2 }'}}}}\ndo: [{a: {call: double, with: {n: '${ .value }'}}}]",
        {"value": 4},
        output={"twice": 8},
    ),
    Case(
        "Use",
        "a function checks and forms what it is given and what it yields",
        "use: {functions: {double: {input: {schema: {document: {required: [n]}}, from: .n}, set: {x: '${ . * 2 }'}, output: {as: .x}}}}\n"
        "do: [{a: {call: double, with: {n: 4}, output: {as: {twice: '${ . }'}}}}]",
        output={"twice": 8},
    ),
    Case(
        "Use",
        "a function that is not given what it needs faults",
        "use: {functions: {double: {input: {schema: {document: {required: [n]}}}, set: {x: 1}}}}\ndo: [{a: {call: double, with: {m: 4}}}]",
        error=error("validation", 400),
    ),
    Case(
        "Use",
        "a function may do several tasks",
        "use: {functions: {two: {do: [{x: {set: {n: '${ .n + 1 }'}}}, {y: {set: {n: '${ .n * 10 }'}}}]}}}\n"
        "do: [{a: {call: two, with: {n: 1}}}]",
        output={"n": 20},
    ),
)

CONTAINER = (
    "image: alpine, stdin: '${ .said }', command: cat, arguments: ['${ .n }', b], environment: {WHO: '${ .who }'}"
)


def job_of(more: str, behind: str = "") -> JobAwaited:
    """What a job is asked for by a task that runs a container."""
    given = {"said": "hello", "n": "1", "who": "ann"}
    text = f"do: [{{r: {{run: {{container: {{{CONTAINER}{more}}}{behind}}}}}}}]"
    [asked] = play(Case("Container Process", "", text, given, answers={"r": [1]})).asked
    assert isinstance(asked, JobAwaited)
    return asked


class TestAContainer:
    """What a node is told to do; what it does is looked at in tests/kit/test_containers.py."""

    def test_is_told_what_to_be_run_with(self) -> None:
        found = job_of(", name: '${ \"it-\\(.n)\" }', ports: {'80': 8080}, volumes: {'/a': '/b'}").request
        assert found["kind"] == "container"
        assert has(
            found["payload"],
            {
                "container": {
                    "image": "alpine",
                    "name": "it-1",
                    "stdin": "hello",
                    "command": "cat",
                    "arguments": ["1", "b"],
                    "environment": {"WHO": "ann"},
                    "ports": {"80": 8080},
                    "volumes": {"/a": "/b"},
                }
            },
        )

    def test_is_pulled_if_missing_and_kept_by_default(self) -> None:
        by_default = {"return": "stdout", "container": {"pullPolicy": "ifNotPresent", "lifetime": {"cleanup": "never"}}}
        assert has(job_of("").request["payload"], by_default)
        found = job_of(", pullPolicy: always, lifetime: {cleanup: always}", ", return: code").request["payload"]
        assert has(found, {"return": "code", "container": {"pullPolicy": "always", "lifetime": {"cleanup": "always"}}})

    def test_may_be_deleted_after_some_time(self) -> None:
        found = job_of(", lifetime: {cleanup: eventually, after: {hours: 1}}").request["payload"]
        assert has(found, {"container": {"lifetime": {"cleanup": "eventually", "after": {"hours": 1}}}})

    def test_needs_what_its_task_says_or_a_little(self) -> None:
        assert job_of("").request["requirements"] == {"cpu_milli": 1_000, "memory_mib": 1_024}


WAITING = (
    Case("Wait", "a wait yields what it is given", "do: [{w: {wait: PT10S}}]", {"x": 1}, output={"x": 1}),
    Case(
        "Wait",
        "what comes after a wait has its turn when it is over",
        "do: [{w: {wait: {seconds: 10}}}, {a: {set: {x: 1}}}]",
        output={"x": 1},
        begun=["w", "a"],
    ),
    Case(
        "Workflow Process",
        "a task yields what the workflow that it runs yields",
        "do: [{r: {run: {workflow: {namespace: tests, name: other, version: 1.0.0, input: {n: '${ .n }'}}}}}]",
        {"n": 1},
        answers={"r": [{"done": 1}]},
        output={"done": 1},
    ),
    Case(
        "Run",
        "a task that does not wait for what it runs yields what it is given",
        "do: [{r: {run: {workflow: {namespace: tests, name: other, version: 1.0.0}, await: false}}}]",
        {"n": 1},
        output={"n": 1},
    ),
    Case(
        "Run",
        "a task that does not wait for what it runs yields its formed input",
        "do: [{r: {input: {from: .n}, run: {shell: {command: ls}, await: false}}}]",
        {"n": 1},
        output=1,
    ),
)


@pytest.mark.parametrize("case", [*EXTENSIONS, *FUNCTIONS, *WAITING], ids=str)
class TestParts:
    def test_are_as_the_reference_says(self, case: Case) -> None:
        check(case)


def waited_s(duration: str, given: object = None) -> float:
    """How long a wait of this duration takes."""
    run = play(Case("Duration", "", f"do: [{{w: {{wait: {duration}}}}}]", given, output=UNSAID))
    [started] = [each for each in run.events if isinstance(each, RunTaskStarted)]
    assert isinstance(started.awaits, TimerAwaited)
    return (started.awaits.until - started.started_at).total_seconds()


class TestADuration:
    def test_may_be_written_in_its_parts(self) -> None:
        assert waited_s("{days: 1, hours: 2, minutes: 3, seconds: 4, milliseconds: 500}") == 93_784.5

    def test_may_be_written_by_the_norm(self) -> None:
        assert waited_s("P1DT2H3M4.5S") == 93_784.5

    def test_may_be_an_expression_that_yields_one(self) -> None:
        assert waited_s("'${ .pause }'", {"pause": "PT1M30S"}) == 90

    def test_ends_at_its_bounds_however_large_its_numbers_are(self) -> None:
        assert waited_s("{days: 1.0e+308}") == DURATION_S_MAX
        assert waited_s("{milliseconds: 1.0e+308}") == DURATION_S_MAX
        assert waited_s("{days: -1.0e+308}") == 0


def called(with_: str, given: object) -> CallAwaited:
    """What is asked for by a call with these arguments."""
    case = Case("Call", "", f"do: [{{c: {{call: http, with: {{method: get, {with_}}}}}}}]", given, answers={"c": [1]})
    [asked] = play(case).asked
    assert isinstance(asked, CallAwaited)
    return asked


def address_of(with_: str, given: object) -> object:
    endpoint = called(with_, given).arguments["endpoint"]
    return endpoint["uri"] if isinstance(endpoint, dict) else endpoint


class TestAnAddress:
    def test_has_values_in_the_place_of_names(self) -> None:
        assert address_of("endpoint: 'https://tests/{a}/{b}'", {"a": "x", "b": 7}) == "https://tests/x/7"
        assert address_of("endpoint: {uri: 'https://tests/{a}'}", {"a": True}) == "https://tests/true"

    def test_has_nothing_in_the_place_of_a_name_without_a_value(self) -> None:
        assert address_of("endpoint: 'https://tests/{a}/{b}'", {"b": None}) == "https://tests//"

    def test_takes_a_name_with_a_dot_in_it_as_it_is(self) -> None:
        assert address_of("endpoint: 'https://tests/{pet.id}'", {"pet": {"id": 1}, "pet.id": 2}) == "https://tests/2"

    def test_may_be_an_expression(self) -> None:
        assert address_of("endpoint: '${ \"https://tests/\\(.pet.id)\" }'", {"pet": {"id": 1}}) == "https://tests/1"

    def test_that_comes_from_data_is_taken_as_it_is(self) -> None:
        given = {"url": "https://tests/{a}/${ .a }", "a": "${ .b }", "b": 1}
        assert address_of("endpoint: '${ .url }'", given) == given["url"]
        assert address_of("endpoint: {uri: '${ .url }'}", given) == given["url"]

    def test_cannot_have_an_object_in_it(self) -> None:
        run = play(
            Case(
                "URI Template",
                "",
                "do: [{c: {call: http, with: {method: get, endpoint: 'https://tests/{a}'}}}]",
                {"a": {}},
            )
        )
        assert (run.status, run.error["status"]) == ("faulted", 400)
        assert run.error["type"].endswith("/errors/expression")
