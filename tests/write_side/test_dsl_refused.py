"""Definitions that the reference calls invalid: they are refused at registration, with the place that is wrong (dsl-reference.md)."""

import pytest

from tests.write_side.dsl_case import definition
from tests.write_side.dsl_refused import Refused, check_refused

SET = "{set: {x: 1}}"


A = "/do/0/a"

OF_WORKFLOWS = (
    Refused("Workflow", "there must be tasks to do", "input: {from: .}", "/do"),
    Refused("Workflow", "a timeout must be one that is declared", f"timeout: long\ndo: [{{a: {SET}}}]", "/timeout"),
    Refused("Document", "a version must be a semantic one", "do: []", "/document/version"),
    Refused("Document", "another version of the language is not understood", "do: []", "/document/dsl"),
    Refused("Document", "a name must be there", "do: []", "/document/name"),
    Refused("Schedule", "read must not be without on", "schedule: {every: PT1S, read: data}\ndo: []", "/schedule"),
    Refused("Schedule", "read must be one of three", "schedule: {on: {any: []}, read: all}\ndo: []", "/schedule/read"),
    Refused("Evaluate", "a mode must be strict or loose", "evaluate: {mode: lax}\ndo: []", "/evaluate/mode"),
    Refused(
        "Extension",
        "the kind must be one there is",
        "use: {extensions: [{x: {extend: http}}]}\ndo: []",
        "/use/extensions/0/x/extend",
    ),
    Refused(
        "Catalog", "a catalog must have an endpoint", "use: {catalogs: {c: {}}}\ndo: []", "/use/catalogs/c/endpoint"
    ),
)

OF_TASKS = (
    Refused(
        "Task", "a timeout must be one that is declared", "do: [{a: {set: {x: 1}, timeout: long}}]", f"{A}/timeout"
    ),
    Refused("Task", "a task must be of a kind there is", "do: [{a: {jump: 1}}]", A),
    Refused(
        "Flow Directive",
        "then must lead to a task of the same scope",
        "do: [{a: {do: [{b: {set: {x: 1}, then: c}}]}}, {c: {set: {x: 1}}}]",
        f"{A}/do/0/b/then",
    ),
    Refused(
        "Flow Directive", "then must lead to a task there is", "do: [{a: {set: {x: 1}, then: nowhere}}]", f"{A}/then"
    ),
    Refused(
        "Switch",
        "a case must lead to a task there is",
        "do: [{a: {switch: [{x: {then: nowhere}}]}}]",
        f"{A}/switch/0/x/then",
    ),
    Refused("Switch Case", "then must be there", "do: [{a: {switch: [{x: {when: .x}}]}}]", f"{A}/switch/0/x/then"),
    Refused(
        "Switch Case",
        "there must be one default case at most",
        "do: [{a: {switch: [{x: {then: end}}, {y: {then: end}}]}}]",
        f"{A}/switch/1/y",
    ),
    Refused(
        "For",
        "there must be something to go through",
        f"do: [{{a: {{for: {{each: x}}, do: [{{b: {SET}}}]}}}}]",
        f"{A}/for/in",
    ),
    Refused(
        "Raise", "an error must be one that is declared", "do: [{a: {raise: {error: soldOut}}}]", f"{A}/raise/error"
    ),
    Refused("Error", "a type must be there", "do: [{a: {raise: {error: {status: 400}}}}]", f"{A}/raise/error/type"),
    Refused(
        "Error",
        "a status must be there",
        "do: [{a: {raise: {error: {type: 'https://tests'}}}}]",
        f"{A}/raise/error/status",
    ),
    Refused("Try", "catch must be there", f"do: [{{a: {{try: [{{b: {SET}}}]}}}}]", f"{A}/catch"),
    Refused(
        "Catch",
        "a retry policy must be one that is declared",
        f"do: [{{a: {{try: [{{b: {SET}}}], catch: {{retry: often}}}}}}]",
        f"{A}/catch/retry",
    ),
    Refused(
        "Backoff",
        "there must be one backoff at most",
        f"do: [{{a: {{try: [{{b: {SET}}}], catch: {{retry: {{backoff: {{linear: {{}}, constant: {{}}}}}}}}}}}}]",
        f"{A}/catch/retry/backoff",
    ),
    Refused(
        "Jitter",
        "a jitter must have both bounds",
        f"do: [{{a: {{try: [{{b: {SET}}}], catch: {{retry: {{jitter: {{from: PT1S}}}}}}}}}}]",
        f"{A}/catch/retry/jitter/to",
    ),
    Refused("Wait", "a text must be a duration of the norm", "do: [{a: {wait: ten}}]", f"{A}/wait"),
    Refused("Timeout", "after must be there", "do: [{a: {set: {x: 1}, timeout: {}}}]", f"{A}/timeout/after"),
    Refused(
        "Emit",
        "an event must have a type",
        "do: [{a: {emit: {event: {with: {source: 'https://tests'}}}}}]",
        f"{A}/emit/event/with/type",
    ),
    Refused("Listen", "to must be there", "do: [{a: {listen: {read: data}}}]", f"{A}/listen/to"),
    Refused(
        "Event Properties",
        "a filter must ask for something",
        "do: [{a: {listen: {to: {one: {with: {}}}}}}]",
        f"{A}/listen/to/one/with",
    ),
    Refused(
        "Event Consumption Strategy",
        "there must be one strategy",
        "do: [{a: {listen: {to: {any: [], all: []}}}}]",
        f"{A}/listen/to",
    ),
    Refused(
        "Correlation",
        "from must be there",
        "do: [{a: {listen: {to: {one: {with: {type: x}, correlate: {c: {}}}}}}}]",
        f"{A}/listen/to/one/correlate/c/from",
    ),
    Refused(
        "Run",
        "there must be one thing to run",
        "do: [{a: {run: {shell: {command: ls}, script: {language: js, code: x}}}}]",
        f"{A}/run",
    ),
    Refused(
        "Run",
        "return must be one of five",
        "do: [{a: {run: {shell: {command: ls}, return: nothing}}}]",
        f"{A}/run/return",
    ),
    Refused(
        "Script Process",
        "there must be code or a source",
        "do: [{a: {run: {script: {language: js}}}}]",
        f"{A}/run/script",
    ),
    Refused(
        "Container Process",
        "a pull policy must be one of three",
        "do: [{a: {run: {container: {image: x, pullPolicy: rarely}}}}]",
        f"{A}/run/container/pullPolicy",
    ),
    Refused(
        "Container Lifetime",
        "eventually must say after what time",
        "do: [{a: {run: {container: {image: x, lifetime: {cleanup: eventually}}}}}]",
        f"{A}/run/container/lifetime",
    ),
    Refused(
        "Container Lifetime",
        "a time to delete it after must not be there unless it is deleted eventually",
        "do: [{a: {run: {container: {image: x, lifetime: {cleanup: always, after: PT1S}}}}}]",
        f"{A}/run/container/lifetime",
    ),
    Refused(
        "Workflow Definition Reference",
        "a name must be there",
        "do: [{a: {run: {workflow: {namespace: x, version: 1.0.0}}}}]",
        f"{A}/run/workflow/name",
    ),
    Refused(
        "Workflow Definition Reference",
        "a namespace must be there",
        "do: [{a: {run: {workflow: {name: y, version: 1.0.0}}}}]",
        f"{A}/run/workflow/namespace",
    ),
    Refused(
        "Workflow Definition Reference",
        "a version must be there, and be one",
        "do: [{a: {run: {workflow: {namespace: x, name: y, version: newest}}}}]",
        f"{A}/run/workflow/version",
    ),
    Refused(
        "Schema",
        "json is the only format",
        "do: [{a: {set: {x: 1}, input: {schema: {format: avro, document: {}}}}}]",
        f"{A}/input/schema/format",
    ),
    Refused(
        "Runtime expression arguments",
        "$authorization is refused wherever it stands: what it holds would be in an event",
        "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://tests', authentication: {bearer: {token: t}}}, "
        "headers: {x: '${ $authorization.parameter }'}}}}]",
        f"{A}/with/headers/x",
    ),
    Refused(
        "Workflow Process",
        "a version must be there",
        "do: [{a: {run: {workflow: {namespace: x, name: y}}}}]",
        f"{A}/run/workflow/version",
    ),
)

HEADS = {
    "a version must be a semantic one": {"version": "one"},
    "another version of the language is not understood": {"dsl": "2.0.0"},
    "a name must be there": {"name": None},
}
"""Heads that are wrong, by what they are wrong in."""


@pytest.mark.parametrize("case", [*OF_WORKFLOWS, *OF_TASKS], ids=str)
class TestADefinition:
    def test_is_refused_where_it_is_wrong(self, case: Refused) -> None:
        found = definition(case.definition)
        head = {**found["document"], **HEADS.get(case.says, {})}
        check_refused(case, {**found, "document": {name: value for name, value in head.items() if value is not None}})
