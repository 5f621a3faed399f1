"""Functions and schemas that lie elsewhere: they are fetched before they are needed, once in a run, and kept in its stream."""

from typing import Any

import pytest

from tests.write_side.driven import Driven
from tests.write_side.dsl_case import Case, error, fails
from tests.write_side.dsl_run import check, play

ADDRESS = "https://tests/function.yaml"
SCHEMA = "https://tests/schema.json"
CALLED = f"{{call: '{ADDRESS}', with: {{n: %d}}}}"
ID = {"type": "object", "required": ["id"]}
DOUBLE = {"set": {"twice": "${ .n * 2 }"}}
CATALOG = "use: {catalogs: {ours: {endpoint: 'https://tests/catalog'}}}\n"


def call(what: str = ADDRESS, more: str = "") -> str:
    return f"do: [{{c: {{call: '{what}', with: {{n: '${{ .n }}'}}{more}}}}}]"


def checked(part: str) -> str:
    return f"{part}: {{schema: {{resource: {{endpoint: '{SCHEMA}'}}}}}}"


def here(document: Any, address: str = ADDRESS) -> list[Any]:
    return [{address: document}]


INPUT = {**DOUBLE, "input": {"schema": {"document": {"required": ["n"]}}}}
CASES = (
    Case(
        "Using a Custom Function",
        "a function is called by its address, with what the call gives it",
        call(),
        {"n": 4},
        {"c": here(DOUBLE)},
        output={"twice": 8},
    ),
    Case(
        "Using a Custom Function",
        "an address on GitHub leads to the function's file in that version",
        call("https://github.com/myorg/functions/double@v1.0.0"),
        {"n": 4},
        {"c": here(DOUBLE, "https://raw.githubusercontent.com/myorg/functions/v1.0.0/double/function.yaml")},
        output={"twice": 8},
    ),
    Case(
        "Using Cataloged Functions",
        "name, version and catalog say where a function lies",
        CATALOG + call("double:1.0.0@ours"),
        {"n": 4},
        {"c": here(DOUBLE, "https://tests/catalog/functions/double/1.0.0/function.yaml")},
        output={"twice": 8},
    ),
    Case(
        "File Structure",
        "the raw document is fetched from a catalog on GitHub",
        "use: {catalogs: {ours: {endpoint: 'https://github.com/kit/catalog/tree/main'}}}\n" + call("double:1.0.0@ours"),
        {"n": 4},
        {
            "c": here(
                DOUBLE,
                "https://raw.githubusercontent.com/kit/catalog/refs/heads/main/functions/double/1.0.0/function.yaml",
            )
        },
        output={"twice": 8},
    ),
    Case(
        "Creating a Custom Function",
        "a function's input is checked by its own schema",
        "do: [{c: {call: 'https://tests/function.yaml', with: {m: 1}}}]",
        {},
        {"c": here(INPUT)},
        error=error("validation", 400),
    ),
    Case(
        "Creating a Custom Function",
        "what is no task is an error of configuration",
        call(),
        {"n": 4},
        {"c": here({"sett": {}})},
        error=error("configuration", 400, "/do/0/c"),
    ),
    Case(
        "Creating a Custom Function",
        "what others wrote knows no names of the workflow",
        "use: {functions: {mine: {set: {a: 1}}}}\n" + call(),
        {"n": 4},
        {"c": here({"call": "mine"})},
        error=error("configuration", 400, "/do/0/c"),
    ),
    Case(
        "Creating a Custom Function",
        "what others wrote knows no secrets of the workflow",
        "use: {secrets: [key]}\n" + call(),
        {"n": 4},
        {"c": here({"call": "http", "with": {"method": "get", "endpoint": "https://x", "body": "${ $secrets.key }"}})},
        error=error("configuration", 400, "/do/0/c"),
    ),
    Case(
        "Catalog",
        "what cannot be fetched is an error of the task that calls it",
        call(),
        {"n": 4},
        {"c": [fails(404)]},
        error={"status": 404, "instance": "/do/0/c"},
    ),
    Case(
        "Catalog",
        "what cannot be fetched can be caught",
        f"do: [{{t: {{try: [{{c: {{call: '{ADDRESS}'}}}}], catch: {{do: [{{d: {{set: {{caught: 1}}}}}}]}}}}}}]",
        {"n": 4},
        {"c": [fails(404)]},
        output={"caught": 1},
    ),
    Case(
        "Catalog",
        "what cannot be fetched is fetched again by a retry",
        f"do: [{{t: {{try: [{{c: {{call: '{ADDRESS}', with: {{n: 4}}}}}}], catch: {{retry: {{limit: {{attempt: {{count: 2}}}}}}}}}}}}]",
        {},
        {"c": [fails(503), {ADDRESS: {"sett": 1}}, {ADDRESS: DOUBLE}]},
        output={"twice": 8},
    ),
    Case(
        "Call",
        "a function that is called again is not fetched again",
        f"do: [{{l: {{for: {{in: '[1, 2, 3]'}}, do: [{{c: {{call: '{ADDRESS}', with: {{n: '${{ $item }}'}}}}}}]}}}}]",
        {},
        {"c": here(DOUBLE)},
        output={"twice": 6},
        begun=["l", "c", "c", ADDRESS, "c", ADDRESS, "c", ADDRESS],
    ),
    Case(
        "Call",
        "a task that is skipped fetches nothing",
        f"do: [{{c: {{if: 'false', call: '{ADDRESS}', {checked('input')}}}}}]",
        {"n": 4},
        output={"n": 4},
    ),
    Case(
        "Call",
        "branches that call the same function each get it",
        f"do: [{{f: {{fork: {{branches: [{{a: {CALLED % 1}}}, {{b: {CALLED % 2}}}]}}}}}}]",
        {},
        {"a": here(DOUBLE), "b": here(DOUBLE)},
        output=[{"twice": 2}, {"twice": 4}],
    ),
    Case(
        "Schema",
        "a task's input is checked by a schema that lies elsewhere",
        f"do: [{{a: {{set: {{x: 1}}, {checked('input')}}}}}]",
        {"n": 1},
        {"a": here(ID, SCHEMA)},
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Schema",
        "a task's output is checked by a schema that lies elsewhere",
        f"do: [{{a: {{set: {{x: 1}}, {checked('output')}}}}}]",
        {"id": 1},
        {"a": here(ID, SCHEMA)},
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Schema",
        "what is exported is checked by a schema that lies elsewhere",
        f"do: [{{a: {{set: {{x: 1}}, export: {{as: '{{a: 1}}', schema: {{resource: {{endpoint: '{SCHEMA}'}}}}}}}}}}]",
        {"id": 1},
        {"a": here(ID, SCHEMA)},
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Schema",
        "the workflow's input and output are checked by schemas that lie elsewhere",
        f"{checked('input')}\n{checked('output')}\ndo: [{{a: {{set: {{x: 1}}}}}}]",
        {"id": 1},
        {"case": here(ID, SCHEMA)},
        error=error("validation", 400, "/"),
        begun=["case", "a"],
    ),
    Case(
        "Schema",
        "the input is checked before it is formed, though its schema has to be fetched",
        f"do: [{{a: {{set: '${{ . }}', input: {{from: .id, schema: {{resource: {{endpoint: '{SCHEMA}'}}}}}}}}}}]",
        {"id": 7},
        {"a": here(ID, SCHEMA)},
        output=7,
    ),
    Case(
        "Schema",
        "what is no schema is an error of configuration",
        f"do: [{{a: {{set: {{x: 1}}, {checked('input')}}}}}]",
        {"n": 1},
        {"a": here({"type": "nothing there is"}, SCHEMA)},
        error=error("configuration", 400, "/do/0/a"),
    ),
    Case(
        "Schema",
        "a schema is fetched once, also for a task that another one has led to",
        f"do: [{{a: {{set: {{id: 1}}, then: c}}}}, {{b: {{set: {{id: 2}}, then: end}}}}, "
        f"{{c: {{set: {{id: '${{ .id }}'}}, {checked('input')}}}}}, {{d: {{set: {{id: '${{ .id + 1 }}'}}, {checked('input')}}}}}]",
        {},
        {"c": here(ID, SCHEMA)},
        output={"id": 2},
        begun=["a", "c", "c", "d"],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
class TestWhatLiesElsewhere:
    def test_is_as_the_reference_says(self, case: Case) -> None:
        check(case)

    def test_ends_the_same_from_its_stream_and_from_any_event(self, case: Case) -> None:
        played = play(case)
        whole = Driven(case.document, events=list(played.events), times=[played.now] * len(played.events))
        assert whole.state == played.state
        for length in range(1, len(played.events)):
            cut = whole.cut(length)
            cut.advance()
            waits = any(node.phase in ("awaiting", "delayed") for node in cut.state.nodes.values())
            assert waits or cut.outcome == whole.outcome
