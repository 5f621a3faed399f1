"""Events that a run emits (dsl-reference.md)."""

import pytest

from tests.write_side.dsl_case import UNSAID, Case, error
from tests.write_side.dsl_run import check

EMITTING = (
    Case(
        "Emit",
        "the event that is emitted is the output",
        "do: [{e: {emit: {event: {with: {type: sold, source: https://shop, subject: rex, data: {n: 1}}}}}}]",
        output={
            "id": UNSAID,
            "time": UNSAID,
            "specversion": "1.0",
            "type": "sold",
            "source": "https://shop",
            "subject": "rex",
            "data": {"n": 1},
        },
    ),
    Case(
        "Event Properties",
        "an emitted event has an id, and without a source of its own that of the workflow",
        "do: [{e: {emit: {event: {with: {type: sold}}}, output: {as: {id: '${ .id | type }', source: .source}}}}]",
        output={"id": "string", "source": ".source"},
        emitted=[{"type": "sold", "source": "/tests/case/1.0.0"}],
    ),
    Case(
        "Event Properties",
        "what an emitted event holds may be expressions",
        "do: [{e: {emit: {event: {with: {type: '${ .t }', source: '${ .s }', subject: '${ .n }', data: {n: '${ .n }'}}}}}}]",
        {"t": "sold", "s": "https://shop", "n": "rex"},
        emitted=[{"type": "sold", "source": "https://shop", "subject": "rex", "data": {"n": "rex"}}],
    ),
    Case(
        "Event Properties",
        "an emitted event may have more attributes",
        "do: [{e: {emit: {event: {with: {type: sold, region: eu, datacontenttype: application/json}}}}}]",
        emitted=[{"region": "eu", "datacontenttype": "application/json"}],
    ),
    Case(
        "Event Properties",
        "an id or a source that is null is the run's to say, and one that is no text stands there as JSON",
        "do: [{e: {emit: {event: {with: {type: sold, id: '${ .n }', source: '${ .no }'}}}, output: {as: $input}}},"
        " {f: {emit: {event: {with: {type: sold, id: '${ .no }', source: '${ .n }', subject: '${ .no }'}}}}}]",
        {"n": 7},
        emitted=[{"id": "7", "source": "/tests/case/1.0.0"}, {"id": "r1.2", "source": "7"}],
    ),
    *(
        Case(
            "Event Properties",
            "the type of an emitted event must be text",
            "do: [{t: {try: [{e: {emit: {event: " + event + "}}}], catch: {do: [{c: {set: '${ $error }'}}]}}}]",
            {"empty": "", "n": 5},
            output={**error("expression", 400, "/do/0/t/try/0/e"), "title": UNSAID, "detail": UNSAID},
        )
        for event in ("{with: {type: '${ .no }'}}", "{with: {type: '${ .empty }'}}", "{with: {type: '${ .n }'}}", "{}")
    ),
)


@pytest.mark.parametrize("case", EMITTING, ids=str)
class TestAnEmittedEvent:
    def test_is_as_the_reference_says(self, case: Case) -> None:
        check(case)
