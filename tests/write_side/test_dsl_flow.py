"""In which order tasks have their turn: do, then, if, switch, for and fork (dsl-reference.md)."""

import pytest

from events.run import RunTaskCancelled
from tests.write_side.dsl_case import CALL, Case, error, fails
from tests.write_side.dsl_run import check, play
from tests.write_side.running import WAITING

DIRECTIVES = (
    Case(
        "Flow Directive",
        "tasks follow each other as they are declared",
        "do: [{a: {set: {x: 1}}}, {b: {set: {x: 2}}}, {c: {set: {x: 3}}}]",
        output={"x": 3},
        begun=["a", "b", "c"],
    ),
    Case(
        "Flow Directive",
        "then leads to the task of that name",
        "do: [{a: {set: {x: 1}, then: c}}, {b: {set: {x: 2}, then: end}}, {c: {set: {x: 3}, then: b}}]",
        output={"x": 2},
        begun=["a", "c", "b"],
    ),
    Case(
        "Flow Directive",
        "continue leads to the next task",
        "do: [{a: {set: {x: 1}, then: continue}}, {b: {set: {x: 2}}}]",
        begun=["a", "b"],
    ),
    Case(
        "Flow Directive",
        "continue behind the last task ends the scope",
        "do: [{a: {do: [{b: {set: {x: 1}, then: continue}}]}}, {c: {set: {y: '${ .x }'}}}]",
        output={"y": 1},
        begun=["a", "b", "c"],
    ),
    Case(
        "Flow Directive",
        "exit leaves the scope, and what is around it goes on",
        "do: [{a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}}, {d: {set: {y: '${ .x }'}}}]",
        output={"y": 1},
        begun=["a", "b", "d"],
    ),
    Case(
        "Flow Directive",
        "exit in the main scope completes the run",
        "do: [{a: {set: {x: 1}, then: exit}}, {b: {set: {x: 2}}}]",
        output={"x": 1},
        begun=["a"],
    ),
    Case(
        "Flow Directive",
        "end completes the run from however deep",
        "do: [{a: {do: [{b: {do: [{c: {set: {x: 1}, then: end}}]}}, {d: {set: {x: 2}}}]}}, {e: {set: {x: 3}}}]",
        output={"x": 1},
        begun=["a", "b", "c"],
    ),
    Case(
        "Flow Directive",
        "a task may be led back to",
        "do: [{a: {set: {n: '${ .n + 1 }'}}}, {b: {switch: [{more: {when: .n < 3, then: a}}]}}]",
        output={"n": 3},
        begun=["a", "b", "a", "b", "a", "b"],
    ),
    Case("Do", "a scope without tasks yields what it is given", "do: [{a: {do: []}}]", {"x": 1}, output={"x": 1}),
    Case(
        "Do",
        "a scope gives its input to its first task and yields what its last one yields",
        "do: [{a: {input: {from: .a}, do: [{b: {set: {x: '${ . + 1 }'}}}, {c: {set: {y: '${ .x + 1 }'}}}]}}]",
        {"a": 5},
        output={"y": 7},
    ),
)

CONDITIONS = (
    Case(
        "Task",
        "a task whose condition does not hold is skipped and yields what it was given",
        "do: [{a: {if: .go, input: {from: .x}, set: {y: 1}}}]",
        {"go": False, "x": 1},
        output={"go": False, "x": 1},
        begun=["a"],
    ),
    Case(
        "Task",
        "a condition holds unless it yields false or null",
        "do: [{a: {if: .n, set: {text: ''}}}, {b: {if: .text, set: {none: null}}}, {c: {if: .none, set: {c: 1}}}]",
        {"n": 0},
        output={"none": None},
    ),
    Case(
        "Task",
        "a condition is looked at before the input is formed",
        "do: [{a: {if: .go, input: {from: .x}, set: {y: '${ . }'}}}]",
        {"go": True, "x": 1},
        output={"y": 1},
    ),
    Case(
        "Task",
        "a condition is looked at before the input is checked",
        "do: [{a: {if: .go, input: {schema: {document: {type: object, required: [id]}}}, set: {y: 1}}}]",
        {"go": False},
        output={"go": False},
    ),
    Case(
        "Task",
        "a skipped task leads to the next one, wherever its own directive leads",
        "do: [{a: {if: .go, set: {y: 1}, then: end}}, {b: {set: {z: 1}}}]",
        {"go": False},
        output={"z": 1},
        begun=["a", "b"],
    ),
    Case(
        "Switch",
        "the first case that holds says where to go on",
        "do: [{s: {switch: [{x: {when: .n > 1, then: a}}, {y: {when: .n > 0, then: b}}]}},"
        " {a: {set: {at: a}, then: end}}, {b: {set: {at: b}}}]",
        {"n": 2},
        output={"at": "a"},
    ),
    Case(
        "Switch",
        "a case without a condition holds if no other one does, wherever it stands",
        "do: [{s: {switch: [{other: {then: b}}, {x: {when: .n > 1, then: a}}]}},"
        " {a: {set: {at: a}, then: end}}, {b: {set: {at: b}}}]",
        {"n": 2},
        output={"at": "a"},
    ),
    Case(
        "Switch",
        "without a case that holds the switch's own directive counts",
        "do: [{s: {switch: [{x: {when: .n > 1, then: a}}], then: b}}, {a: {set: {at: a}}}, {b: {set: {at: b}}}]",
        {"n": 0},
        output={"at": "b"},
    ),
    Case(
        "Switch",
        "a switch yields what it is given",
        "do: [{s: {switch: [{x: {then: end}}]}}, {a: {set: {at: a}}}]",
        {"n": 0},
        output={"n": 0},
        begun=["s"],
    ),
)

LOOPS = (
    Case(
        "For",
        "an item is called item and its place index, unless they are given other names",
        "do: [{f: {for: {in: .list}, do: [{a: {set: {seen: '${ (.seen // []) + [[$item, $index]] }'}}}]}}]",
        {"list": ["x", "y"]},
        output={"seen": [["x", 0], ["y", 1]]},
    ),
    Case(
        "For",
        "an item and its place have the names they are given",
        "do: [{f: {for: {each: pet, at: place, in: .list}, do: [{a: {set: {last: '${ [$pet, $place] }'}}}]}}]",
        {"list": ["x", "y"]},
        output={"last": ["y", 1]},
    ),
    Case(
        "For",
        "what a loop goes through may be written out",
        "do: [{f: {for: {in: [{n: 1}, {n: 2}]}, do: [{a: {set: {sum: '${ .sum + $item.n }'}}}]}}]",
        {"sum": 0},
        output={"sum": 3},
    ),
    Case(
        "For",
        "a round is given what the one before it has yielded",
        "do: [{f: {for: {in: .list}, do: [{a: {set: {n: '${ .n + 1 }'}}}, {b: {set: {n: '${ .n * 2 }'}}}]}}]",
        {"list": [0, 0], "n": 0},
        output={"n": 6},
    ),
    Case(
        "For",
        "a loop goes on while its condition holds",
        "do: [{f: {for: {in: '[range(9)]'}, while: $index < 2, do: [{a: {set: {n: '${ $item }'}}}]}}]",
        {},
        output={"n": 1},
        begun=["f", "a", "a"],
    ),
    Case(
        "For",
        "a loop whose condition does not hold yields what it is given",
        "do: [{f: {for: {in: .list}, while: .vet != null, do: [{a: {set: {n: 1}}}]}}]",
        {"list": [1, 2], "vet": None},
        output={"list": [1, 2], "vet": None},
        begun=["f"],
    ),
    Case(
        "For",
        "a loop over nothing yields what it is given",
        "do: [{f: {for: {in: .list}, do: [{a: {set: {n: 1}}}]}}]",
        {"list": []},
        output={"list": []},
        begun=["f"],
    ),
    Case(
        "For",
        "a loop in a loop sees the items of both",
        "do: [{f: {for: {each: x, in: '[1, 2]'}, do: [{g: {for: {each: y, in: '[10, 20]'},"
        " do: [{a: {set: {s: '${ .s + [$x + $y] }'}}}]}}]}}]",
        {"s": []},
        output={"s": [11, 21, 12, 22]},
    ),
    Case(
        "For",
        "the output of a loop in a loop is formed with the item of the outer one",
        "do: [{f: {for: {in: '[1, 2]'}, do: [{g: {for: {in: '[10, 20]'}, do: [{a: {set: {x: '${ $item }'}}}],"
        " output: {as: {of: '${ $item }', at: '${ $index }', x: '${ .x }'}}}}]}}]",
        output={"of": 2, "at": 1, "x": 20},
    ),
)

BRANCHES = (
    Case(
        "Fork",
        "branches yield a list in the order in which they are declared",
        f"do: [{{f: {{fork: {{branches: [{{slow: {{{CALL}}}}}, {{quick: {{set: {{x: 1}}}}}}]}}}}}}]",
        {},
        {"slow": ["late"]},
        output=["late", {"x": 1}],
    ),
    Case(
        "Fork",
        "each branch is given what the fork is given",
        "do: [{f: {fork: {branches: [{a: {set: '${ .n + 1 }'}}, {b: {set: '${ .n + 2 }'}}]}}}]",
        {"n": 1},
        output=[2, 3],
    ),
    Case(
        "Fork",
        "of branches that compete the first to be done wins, and its output is all there is",
        f"do: [{{f: {{fork: {{compete: true, branches: [{{slow: {{{CALL}}}}}, {{quick: {{set: {{x: 1}}}}}}]}}}}}}]",
        {},
        {"slow": ["late"]},
        output={"x": 1},
    ),
    Case(
        "Fork",
        "of branches that compete one that is skipped does not win",
        f"do: [{{f: {{fork: {{compete: true, branches: [{{a: {{if: .no, set: {{a: 1}}}}}}, {{b: {{{CALL}}}}}]}}}}}}]",
        {"no": False},
        {"b": ["done"]},
        output="done",
        begun=["f", "a", "b"],
    ),
    Case(
        "Fork",
        "a race of which all branches are skipped yields what it is given",
        "do: [{f: {fork: {compete: true, branches: [{a: {if: .no, set: {a: 1}}}, {b: {if: .no, set: {b: 1}}}]}}}]",
        {"no": False},
        output={"no": False},
    ),
    Case(
        "Fork",
        "a race fails if one branch fails and the others are skipped",
        f"do: [{{f: {{fork: {{compete: true, branches: [{{a: {{{CALL}}}}}, {{b: {{if: .no, set: {{b: 1}}}}}}]}}}}}}]",
        {"no": False},
        {"a": [fails(503)]},
        error=error("communication", 503, "/do/0/f/fork/branches/0/a"),
    ),
    Case(
        "Fork",
        "a branch whose directive is end ends the run, and the other branches with it",
        f"do: [{{f: {{fork: {{branches: [{{slow: {{{CALL}}}}}, {{quick: {{set: {{x: 1}}, then: end}}}}]}}}}}},"
        " {z: {set: {z: 1}}}]",
        {},
        {"slow": [WAITING]},
        output={"x": 1},
        begun=["f", "slow", "quick"],
    ),
    Case(
        "Fork",
        "a branch that fails faults the fork",
        f"do: [{{f: {{fork: {{branches: [{{a: {{{CALL}}}}}, {{b: {{set: {{x: 1}}}}}}]}}}}}}]",
        {},
        {"a": [fails(503)]},
        error=error("communication", 503, "/do/0/f/fork/branches/0/a"),
    ),
)


@pytest.mark.parametrize("case", [*DIRECTIVES, *CONDITIONS, *LOOPS, *BRANCHES], ids=str)
class TestFlow:
    def test_is_as_the_reference_says(self, case: Case) -> None:
        check(case)


class TestBranchesThatCompete:
    def test_are_given_up_once_one_has_won(self) -> None:
        [case] = [case for case in BRANCHES if "compete the first" in case.says]
        events = play(case).events
        assert [type(each) for each in events].count(RunTaskCancelled) == 1
