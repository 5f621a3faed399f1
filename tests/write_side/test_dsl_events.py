"""Events that a run listens for: listen, filters, correlations and iterators (dsl-reference.md)."""

import pytest

from events.run_parts import EventsAwaited
from tests.write_side.dsl_case import Case, error, event
from tests.write_side.dsl_run import check, play

HOT, COLD = event("temperature", {"degrees": 39}), event("temperature", {"degrees": 20})
FAST = event("pulse", {"bpm": 120})
OVER = event("over")


def listening(to: str, more: str = "", behind: str = "") -> str:
    """A definition that listens in a task named `l`."""
    return f"do: [{{l: {{listen: {{to: {to}}}{more}}}}}{behind}]"


LISTENING = (
    Case(
        "Event Consumption Strategy",
        "one waits for an event that fits",
        listening("{one: {with: {type: pulse}}}"),
        hears=[HOT, FAST],
        output=[FAST["data"]],
    ),
    Case(
        "Event Consumption Strategy",
        "all waits until there was an event for each filter",
        listening("{all: [{with: {type: temperature}}, {with: {type: pulse}}]}"),
        hears=[FAST, HOT],
        output=[FAST["data"], HOT["data"]],
    ),
    Case(
        "Event Consumption Strategy",
        "all of no events are there at once",
        listening("{all: []}", ", foreach: {output: {as: .x}}"),
        output=[],
    ),
    Case(
        "Event Consumption Strategy",
        "any goes on with the first event that fits one of the filters",
        listening("{any: [{with: {type: temperature}}, {with: {type: pulse}}]}"),
        hears=[OVER, FAST, HOT],
        output=[FAST["data"]],
    ),
    Case(
        "Event Consumption Strategy",
        "any without filters takes any event",
        listening("{any: []}"),
        hears=[OVER],
        output=[None],
    ),
    Case(
        "Event Consumption Strategy",
        "any goes on until a condition holds for what was taken",
        listening("{any: [], until: '(. | length) > 1'}"),
        hears=[HOT, FAST, COLD],
        output=[HOT["data"], FAST["data"]],
    ),
    Case(
        "Listen",
        "an event that only ends the listening is not part of the output",
        listening("{any: [{with: {type: temperature}}], until: {one: {with: {type: over}}}}"),
        hears=[HOT, FAST, COLD, OVER, HOT],
        output=[HOT["data"], COLD["data"]],
    ),
    Case(
        "Listen",
        "by default the data of events is read",
        listening("{one: {with: {type: pulse}}}"),
        hears=[FAST],
        output=[{"bpm": 120}],
    ),
    Case(
        "Listen",
        "the envelope is read where it is asked for",
        "do: [{l: {listen: {to: {one: {with: {type: pulse}}}, read: envelope}}}]",
        hears=[FAST],
        output=[FAST],
    ),
    Case(
        "Listen",
        "what is read raw is the data as it came",
        "do: [{l: {listen: {to: {all: [{with: {type: pulse}}, {with: {type: picture}}]}, read: raw}}}]",
        hears=[FAST, {**event("picture"), "data_base64": "AAEC"}],
        output=[{"bpm": 120}, "AAEC"],
    ),
    Case(
        "Distinguishing event-driven scheduling from start `listen` Tasks",
        "a first task that listens for too long faults its run",
        "do: [{l: {listen: {to: {one: {with: {type: pulse}}}}, timeout: {after: PT1S}}}]",
        error=error("timeout", 408, "/do/0/l"),
    ),
    Case(
        "Runtime Expressions",
        "what comes with an input is no regular expression",
        listening("{one: {with: {type: a}, correlate: {room: {from: .room, expect: '${ .room }'}}}}"),
        {"room": ".*"},
        hears=[event("a", 1, room="x"), event("a", 2, room=".*")],
        output=[2],
    ),
    Case(
        "Event Filter",
        "an expression is asked about the attribute that it stands for",
        listening("{one: {with: {type: temperature, data: '${ .degrees > 38 }'}}}"),
        hears=[COLD, HOT],
        output=[{"degrees": 39}],
    ),
    Case(
        "Event Filter",
        "a text may be a regular expression",
        listening("{one: {with: {type: 'p.l[st]e'}}}"),
        hears=[HOT, FAST],
        output=[{"bpm": 120}],
    ),
    Case(
        "Event Filter",
        "an attribute of the author's own has the name that it is given",
        listening("{one: {with: {type: pulse, s3bucket: x, k8s_pod: y}}}"),
        hears=[FAST, event("pulse", 1, s3bucket="x", k8s_pod="y")],
        output=[1],
    ),
    Case(
        "Event Filter",
        "true is not 1, nor false 0, wherever they stand",
        listening(
            "{any: [{with: {type: a, data: {ok: 1, all: [0]}}}, {with: {type: a, data: {ok: true, all: [false]}}}]}"
        ),
        hears=[
            event("a", {"ok": True, "all": [0]}),
            event("a", {"ok": 1, "all": [False]}),
            event("a", {"ok": 1.0, "all": [0], "n": 3}),
        ],
        output=[{"ok": 1.0, "all": [0], "n": 3}],
    ),
    Case(
        "Event Filter",
        "an event has to fit in all that the filter names",
        listening("{one: {with: {type: pulse, subject: ann}}}"),
        hears=[FAST, event("pulse", {"bpm": 60}, subject="ann")],
        output=[{"bpm": 60}],
    ),
    Case(
        "Correlation",
        "without an expectation the first value is what the others must have",
        listening(
            "{all: [{with: {type: a}, correlate: {room: {from: .room}}}, {with: {type: b}, correlate: {room: {from: .room}}}]}"
        ),
        hears=[event("a", 1, room="x"), event("b", 2, room="y"), event("b", 3, room="x")],
        output=[1, 3],
    ),
    Case(
        "Correlation",
        "true is not 1",
        listening(
            "{all: [{with: {type: a}, correlate: {room: {from: .room}}},"
            " {with: {type: b}, correlate: {room: {from: .room}, is: {from: .data.is, expect: '${ .b }'}}}]}"
        ),
        {"b": 1},
        hears=[
            event("a", 1, room=True),
            event("b", {"is": 1, "n": 2}, room=1),
            event("b", {"is": True, "n": 3}, room=True),
            event("b", {"is": 1, "n": 4}, room=True),
        ],
        output=[1, {"is": 1, "n": 4}],
    ),
    Case(
        "Correlation",
        "a value has to be as it is expected",
        listening("{one: {with: {type: a}, correlate: {room: {from: .room, expect: x}}}}"),
        hears=[event("a", 1, room="y"), event("a", 2, room="x")],
        output=[2],
    ),
    Case(
        "Correlation",
        "what is expected may be an expression",
        listening("{one: {with: {type: a}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}"),
        {"order": 7},
        hears=[event("a", {"order": 8}), event("a", {"order": 7})],
        output=[{"order": 7}],
    ),
)

ITERATING = (
    Case(
        "Subscription Iterator",
        "each event is formed by the iterator's output",
        "do: [{l: {listen: {to: {any: [], until: '(. | length) > 1'}}, foreach: {output: {as: $output.degrees}}}}]",
        hears=[HOT, COLD],
        output=[39, 20],
    ),
    Case(
        "Subscription Iterator",
        "an event is called item and its place index, unless they are given other names",
        "do: [{l: {listen: {to: {any: [], until: '(. | length) > 1'}},"
        " foreach: {do: [{a: {set: {of: '${ $item.degrees }', at: '${ $index }'}}}]}}}]",
        hears=[HOT, COLD],
        output=[{"of": 39, "at": 0}, {"of": 20, "at": 1}],
    ),
    Case(
        "Subscription Iterator",
        "an event and its place have the names that they are given",
        "do: [{l: {listen: {to: {one: {with: {type: pulse}}}},"
        " foreach: {item: beat, at: place, do: [{a: {set: '${ [$beat.bpm, $place] }'}}]}}}]",
        hears=[FAST],
        output=[[120, 0]],
    ),
    Case(
        "Subscription Iterator",
        "what is done with an event is done before the next one is looked at",
        "do: [{l: {listen: {to: {any: [], until: '(. | length) > 1'}},"
        " foreach: {do: [{e: {emit: {event: {with: {type: saw, data: '${ $item.degrees }'}}}}}, {w: {wait: PT1S}},"
        " {f: {emit: {event: {with: {type: done, data: '${ $item.degrees }'}}}}}]}}}]",
        hears=[HOT, COLD],
        emitted=[
            {"type": "saw", "data": 39},
            {"type": "done", "data": 39},
            {"type": "saw", "data": 20},
            {"type": "done", "data": 20},
        ],
    ),
    Case(
        "Subscription Iterator",
        "what is exported for an event is the context for the next one",
        "do: [{s: {set: {n: 0}, export: {as: .}}}, {l: {listen: {to: {any: [], until: '(. | length) > 1'}},"
        " foreach: {export: {as: {n: '${ $context.n + 1 }'}}}}}, {c: {set: '${ $context }'}}]",
        hears=[HOT, COLD],
        output={"n": 2},
    ),
)


@pytest.mark.parametrize("case", [*LISTENING, *ITERATING], ids=str)
class TestEvents:
    def test_are_as_the_reference_says(self, case: Case) -> None:
        check(case)


class TestARunThatListens:
    @pytest.mark.parametrize(
        ("to", "types"),
        [
            ("{any: [{with: {type: a}}], until: {one: {with: {type: b}}}}", ("a", "b")),
            ("{any: [], until: {one: {with: {type: b}}}}", ()),
            ("{any: [{with: {type: a}}], until: {any: []}}", ()),
            ("{all: [{with: {type: a}}, {with: {type: 'b|c'}}]}", ()),
        ],
    )
    def test_is_shown_every_event_that_one_of_its_filters_may_pass(self, to: str, types: tuple[str, ...]) -> None:
        [awaited] = play(Case("Listen", "", listening(to))).asked
        assert isinstance(awaited, EventsAwaited)
        assert awaited.types == types

    def test_goes_on_listening_while_nothing_fits(self) -> None:
        assert (
            play(Case("Listen", "", listening("{one: {with: {type: pulse}}}"), hears=[HOT, COLD])).status == "running"
        )

    def test_never_ends_if_its_condition_never_holds(self) -> None:
        run = play(Case("Listen", "", listening("{any: [], until: '${ false }'}"), hears=[HOT] * 5))
        assert run.status == "running"
