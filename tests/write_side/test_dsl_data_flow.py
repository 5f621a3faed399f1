"""Data on its way through a run: how it is checked, formed and kept, and what expressions see (dsl.md: Data Flow, Runtime Expressions)."""

import pytest

from tests.write_side.dsl_case import UNSAID, Case, error
from tests.write_side.dsl_run import check, play

NEEDS_ID = "{document: {type: object, required: [id]}}"
NUMBER = "{document: {type: integer}}"

FLOW = (
    Case(
        "Input",
        "the first task is given the workflow's formed input",
        "input: {from: .order}\ndo: [{a: {set: {id: '${ .id }'}}}]",
        {"order": {"id": 7}},
        output={"id": 7},
    ),
    Case(
        "Input",
        "a workflow's input is checked before it is formed",
        "input: {from: .order, schema: {document: {type: object, required: [order]}}}\ndo: [{a: {set: '${ . }'}}]",
        {"order": {"id": 7}},
        output={"id": 7},
    ),
    Case(
        "Input",
        "a workflow's input that does not fit its schema faults the run",
        f"input: {{schema: {NEEDS_ID}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]",
        {"name": "x"},
        error=error("validation", 400),
        begun=[],
    ),
    Case(
        "Input",
        "a task's input is checked before it is formed",
        f"do: [{{a: {{input: {{from: .id, schema: {NEEDS_ID}}}, set: '${{ . }}'}}}}]",
        {"id": 7},
        output=7,
    ),
    Case(
        "Input",
        "a task's input that does not fit its schema faults it",
        f"do: [{{a: {{input: {{schema: {NEEDS_ID}}}, set: {{x: 1}}}}}}]",
        {},
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Input",
        "what forms an input may be an object with expressions in it",
        "do: [{a: {input: {from: {x: '${ .a }', y: 1}}, set: '${ . }'}}]",
        {"a": 5, "b": 6},
        output={"x": 5, "y": 1},
    ),
    Case(
        "Input",
        "an input may be formed to a whole number of any size",
        "do: [{t: {try: [{a: {input: {from: .n + 1}, set: '${ . }'}}], catch: {do: [{c: {set: caught}}]}}}]",
        {"n": 2**63 - 1},
        output=2.0**63,
    ),
    Case(
        "Input",
        "an input that is not formed stays as it is",
        "do: [{a: {set: '${ . }'}}]",
        {"a": 5},
        output={"a": 5},
    ),
    Case(
        "Output",
        "a task's formed output is what the next one is given",
        "do: [{a: {set: {x: 1, y: 2}, output: {as: .x}}}, {b: {set: {got: '${ . }'}}}]",
        output={"got": 1},
    ),
    Case(
        "Output",
        "what forms an output may be an object with expressions in it",
        "do: [{a: {set: {x: 1}, output: {as: {pet: '${ .x }', kind: dog}}}}]",
        output={"pet": 1, "kind": "dog"},
    ),
    Case(
        "Output",
        "a task's output is checked after it is formed",
        f"do: [{{a: {{set: {{x: 1}}, output: {{as: .x, schema: {NUMBER}}}}}}}]",
        output=1,
    ),
    Case(
        "Output",
        "a task's output that does not fit its schema faults it",
        f"do: [{{a: {{set: {{x: 1}}, output: {{schema: {NUMBER}}}}}}}]",
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Output",
        "a workflow's output is formed from that of its last task",
        "do: [{a: {set: {x: 1}}}]\noutput: {as: {total: '${ .x }'}}",
        output={"total": 1},
    ),
    Case(
        "Output",
        "a workflow's output is checked after it is formed",
        f"do: [{{a: {{set: {{x: 1}}}}}}]\noutput: {{as: .x, schema: {NEEDS_ID}}}",
        error=error("validation", 400),
    ),
    Case(
        "Output",
        "an output that is not formed stays as it is",
        "do: [{a: {set: {x: 1}, output: {schema: {document: {type: object}}}}}]",
        output={"x": 1},
    ),
    Case(
        "Export",
        "what is exported replaces the context",
        "do: [{a: {set: {x: 1}, export: {as: {y: '${ .x }'}}}}, {b: {set: '${ $context }'}}]",
        output={"y": 1},
    ),
    Case(
        "Export",
        "what is exported is made of the formed output",
        "do: [{a: {set: {x: 1}, output: {as: .x}, export: {as: .}}}, {b: {set: {c: '${ $context }'}}}]",
        output={"c": 1},
    ),
    Case(
        "Export",
        "what is exported may add to the context",
        "do: [{a: {set: {x: 1}, export: {as: .}}}, {b: {set: {y: 2}, export: {as: $context + .}}}, {c: {set: '${ $context }'}}]",
        output={"x": 1, "y": 2},
    ),
    Case(
        "Export",
        "the context stays where nothing is exported",
        "do: [{a: {set: {x: 1}, export: {as: .}}}, {b: {set: {y: 2}}}, {c: {set: '${ $context }'}}]",
        output={"x": 1},
    ),
    Case(
        "Export",
        "a context that does not fit its schema faults the task",
        f"do: [{{a: {{set: {{x: 1}}, export: {{as: ., schema: {NUMBER}}}}}}}]",
        error=error("validation", 400, "/do/0/a"),
    ),
    Case(
        "Data Flow",
        "the context is at first the workflow's formed input",
        "input: {from: .order}\ndo: [{a: {set: '${ $context }'}}]",
        {"order": {"id": 7}},
        output={"id": 7},
    ),
)

ARGUMENTS = (
    Case(
        "Runtime expression arguments",
        "$input is the task's formed input",
        "do: [{a: {input: {from: .a}, set: {x: 1}, output: {as: '{from: $input, x: .x}'}}}]",
        {"a": 5},
        output={"from": 5, "x": 1},
    ),
    Case(
        "Runtime expression arguments",
        "$output is the task's formed output",
        "do: [{a: {set: {x: 1}, output: {as: .x}, export: {as: {o: '${ $output }'}}}}, {b: {set: '${ $context }'}}]",
        output={"o": 1},
    ),
    Case(
        "Runtime expression arguments",
        "$output is the raw output where that is formed",
        "do: [{a: {set: {x: 1}, output: {as: $output.x + .x}}}]\noutput: {as: {y: '${ $output }'}}",
        output={"y": 2},
    ),
    Case(
        "Runtime expression arguments",
        "a workflow's output is formed with $context at hand",
        "do: [{a: {set: {x: 1}, export: {as: {kept: true}}}}]\noutput: {as: $context}",
        output={"kept": True},
    ),
    Case(
        "Task Descriptor",
        "$task says what a task is called and where it stands",
        "do: [{a: {do: [{b: {set: {name: '${ $task.name }', reference: '${ $task.reference }'}}}]}}]",
        output={"name": "b", "reference": "/do/0/a/do/0/b"},
    ),
    Case(
        "Task Descriptor",
        "$task.definition is the task as it was written",
        "do: [{a: {metadata: {owner: ann}, set: {x: '${ $task.definition.metadata.owner }'}}}]",
        output={"x": "ann"},
    ),
    Case(
        "Task Descriptor",
        "$task.input is what the task was given before it was formed",
        "do: [{a: {input: {from: .a}, set: {x: '${ $task.input }'}}}]",
        {"a": 5},
        output={"x": {"a": 5}},
    ),
    Case(
        "Task Descriptor",
        "$task.output is what the task yielded before it was formed",
        "do: [{a: {set: {x: 1}, output: {as: .x}, export: {as: {raw: '${ $task.output }'}}}}, {b: {set: '${ $context }'}}]",
        output={"raw": {"x": 1}},
    ),
    Case(
        "Workflow Descriptor",
        "$workflow.input is what the workflow was given before it was formed",
        "input: {from: .a}\ndo: [{a: {set: {x: '${ $workflow.input }'}}}]",
        {"a": 5},
        output={"x": {"a": 5}},
    ),
    Case(
        "Workflow Descriptor",
        "$workflow says which run it is and how the workflow is defined",
        "do: [{a: {set: {id: '${ $workflow.id | type }', name: '${ $workflow.definition.document.name }'}}}]",
        output={"id": "string", "name": "case"},
    ),
    Case(
        "DateTime Descriptor",
        "a time can be had as text, in seconds and in milliseconds",
        "do: [{a: {set: {a: '${ $workflow.startedAt.iso8601 | type }', b: '${ $task.startedAt.epoch.seconds | type }',"
        " c: '${ $task.startedAt.epoch.milliseconds / 1000 - $task.startedAt.epoch.seconds | . >= 0 and . < 1 }'}}}]",
        output={"a": "string", "b": "number", "c": True},
    ),
    Case(
        "Runtime Descriptor",
        "$runtime has a name, a version and more about itself",
        "do: [{a: {set: '${ $runtime | [.name, .version, .metadata] | map(type) }'}}]",
        output=["string", "string", "object"],
    ),
)

EXPRESSIONS = (
    Case(
        "Runtime Expressions",
        "an expression that cannot be evaluated faults the task",
        "do: [{a: {set: {x: '${ .a.b }'}}}]",
        {"a": 1},
        error=error("expression", 400, "/do/0/a"),
    ),
    Case(
        "Runtime Expressions",
        "an expression that comes with the input is only text",
        "do: [{a: {set: {x: '${ .a }'}}}]",
        {"a": "${ 1 + 1 }"},
        output={"x": "${ 1 + 1 }"},
    ),
    Case(
        "Runtime Expressions",
        "expressions are found however deep they stand",
        "do: [{a: {set: {list: ['${ .a }', {b: '${ .a }'}], n: 1, t: true, z: null}}}]",
        {"a": 5},
        output={"list": [5, {"b": 5}], "n": 1, "t": True, "z": None},
    ),
    Case(
        "Evaluate",
        "by default only what stands between ${ and } is evaluated",
        "do: [{a: {set: {x: .a, y: '${ .a }'}}}]",
        {"a": 5},
        output={"x": ".a", "y": 5},
    ),
    Case(
        "Evaluate",
        "in loose mode any text is tried, and stays text if it cannot be evaluated",
        "evaluate: {mode: loose}\ndo: [{a: {set: {x: .a, y: 'hello (you', z: '${ .a }'}}}]",
        {"a": 5},
        output={"x": 5, "y": "hello (you", "z": 5},
    ),
    Case("Set", "what is set replaces what was there", "do: [{a: {set: {x: 1}}}]", {"y": 2}, output={"x": 1}),
    Case(
        "Set",
        "what is set may be one expression",
        "do: [{a: {set: '${ .colour }'}}]",
        {"colour": [1, 2]},
        output=[1, 2],
    ),
)


@pytest.mark.parametrize("case", [*FLOW, *ARGUMENTS, *EXPRESSIONS], ids=str)
class TestDataFlow:
    def test_is_as_the_reference_says(self, case: Case) -> None:
        check(case)


class TestARun:
    def test_is_told_apart_from_others_by_its_id(self) -> None:
        case = Case("Workflow Descriptor", "", "do: [{a: {set: {id: '${ $workflow.id }'}}}]", output=UNSAID)
        assert play(case).output["id"]
