"""Random workflow definitions that always come to rest: every kind of task, nested a few levels deep, none of which goes back."""

from typing import Any

from hypothesis import strategies as st

Entry = dict[str, Any]

CONDITIONS = st.sampled_from(["true", "false", ".n > 1", "$context.n == 2", ".missing", "$input.n != 3"])
VALUES = st.sampled_from([".", ".n", "$context", "$input", "{n: 2}", "{n: 3, of: $task.name}", "[1, 2]"])
FAILING = st.sampled_from(['error("no")', ".n.m.o", '{n: 1} | .n + "x"'])
FORMS = st.integers(0, 7).flatmap(lambda chance: VALUES if chance else FAILING)
TYPES = st.sampled_from(["a", "b"])
ERRORS = ("https://example.com/errors/one", "https://example.com/errors/two")
TIMEOUT = {"after": "PT1M"}
CALLED = ("given", "failed", "flaky", "slow")
"""Functions: one gives an answer, one fails, one does this or that, one never answers."""

FUNCTIONS = tuple(f"https://tests/{name}" for name in ("set", "nested", "outer", "itself", "wrong", "missing", "slow"))
SCHEMAS = tuple(f"https://tests/{name}.json" for name in ("any", "with-n", "wrong", "missing", "slow"))
ELSEWHERE: dict[str, Any] = {
    FUNCTIONS[0]: {"set": {"n": "${ .n }"}},
    FUNCTIONS[1]: {
        "do": [{"a": {"call": "job", "with": {"kind": "x", "payload": "given"}}}, {"b": {"wait": {"seconds": 1}}}],
        "input": {"schema": {"resource": {"endpoint": SCHEMAS[0]}}},
    },
    FUNCTIONS[2]: {"fork": {"branches": [{"a": {"call": FUNCTIONS[0]}}, {"b": {"call": FUNCTIONS[1]}}]}},
    FUNCTIONS[3]: {"do": [{"a": {"if": ".n > 1", "call": FUNCTIONS[3], "with": {"n": "${ .n - 1 }"}}}]},
    FUNCTIONS[4]: {"sett": 1},
    SCHEMAS[0]: {},
    SCHEMAS[1]: {"required": ["n"]},
    SCHEMAS[2]: {"type": "nothing"},
}
"""What lies elsewhere, by its address: functions and schemas, some of them none; who asks for one that is slow, waits for ever."""


def braced(expression: str) -> str:
    return "${ " + expression + " }"


@st.composite
def _common(draw: st.DrawFn, then: tuple[str, ...], compensable: bool) -> Entry:
    """What a task of any kind may have."""
    found: Entry = {}
    chance = st.integers(0, 11)
    if draw(chance) == 0:
        found["if"] = draw(CONDITIONS)
    if draw(chance) == 0:
        found["input"] = {"from": draw(FORMS)}
    if draw(chance) == 0:
        found["output"] = {"as": draw(FORMS)}
    if draw(chance) == 0:
        found["export"] = {"as": draw(VALUES)}
    if draw(st.integers(0, 15)) == 0:
        part = found.setdefault(draw(st.sampled_from(["input", "output"])), {})
        part["schema"] = {"resource": {"endpoint": draw(st.sampled_from(SCHEMAS))}}
    if draw(chance) == 0:
        found["timeout"] = TIMEOUT
    if draw(chance) == 0:
        found["then"] = draw(st.sampled_from(then))
    if compensable and draw(st.integers(0, 3)) == 0:
        found["metadata"] = {"compensate": draw(task_lists(1, "u", compensable=False))}
    return found


def _leaf(compensable: bool) -> st.SearchStrategy[Entry]:
    return st.one_of(
        st.builds(lambda n: {"set": {"n": n, "was": "${ .n }"}}, st.integers(0, 4)),
        st.builds(lambda value: {"set": braced(value)}, VALUES),
        st.builds(lambda name, n: {"call": name, "with": {"n": n}}, st.sampled_from(CALLED), st.integers(0, 3)),
        st.builds(lambda name, n: {"call": name, "with": {"n": n}}, st.sampled_from(CALLED[:2]), st.integers(0, 3)),
        st.builds(
            lambda address, n: {"call": address, "with": {"n": n}}, st.sampled_from(FUNCTIONS), st.integers(0, 3)
        ),
        st.just({"wait": {"seconds": 3}}),
        st.builds(lambda type_: {"emit": {"event": {"with": {"type": type_, "data": "${ . }"}}}}, TYPES),
        st.builds(lambda type_: {"raise": {"error": {"type": type_, "status": 400}}}, st.sampled_from(ERRORS)),
        st.builds(
            lambda awaited: {
                "run": {"await": awaited, "workflow": {"namespace": "test", "name": "child", "version": "1.0.0"}}
            },
            st.booleans(),
        ),
        _listen(compensable),
    )


@st.composite
def _listen(draw: st.DrawFn, compensable: bool) -> Entry:
    one, other = ({"with": {"type": draw(TYPES)}} for _ in range(2))
    to: Entry = draw(
        st.sampled_from(
            [
                {"one": one},
                {"all": [one, other]},
                {"any": [one, other]},
                {"any": [], "until": "length > 2"},
                {"any": [one], "until": {"one": {"with": {"type": "b"}}}},
            ]
        )
    )
    found: Entry = {"listen": {"to": to}}
    if draw(st.booleans()):
        found["foreach"] = {"item": "event", "do": draw(task_lists(0, "e", compensable=compensable))}
    return found


@st.composite
def _composite(draw: st.DrawFn, depth: int, compensable: bool, then: tuple[str, ...]) -> Entry:
    kind = draw(st.sampled_from(["do", "for", "fork", "try", "switch"]))
    below = task_lists(depth - 1, "x", compensable=compensable)
    match kind:
        case "do":
            return {"do": draw(below)}
        case "for":
            items = draw(st.sampled_from(["[1, 2]", "[]", "[{n: 1}, {n: 2}]", "[3]", ".n"]))
            found: Entry = {"for": {"each": "one", "in": braced(items)}, "do": draw(below)}
            return found | ({"while": draw(CONDITIONS)} if draw(st.booleans()) else {})
        case "fork":
            branches = draw(task_lists(depth - 1, "b", compensable=compensable, goes_on=True))
            return {"fork": {"compete": draw(st.booleans()), "branches": branches}}
        case "try":
            return {"try": draw(below), "catch": draw(_catch(depth, compensable, then))}
        case _:
            cases: list[Entry] = [{"c": {"when": draw(CONDITIONS), "then": draw(st.sampled_from(then))}}]
            if draw(st.booleans()):
                cases.append({"d": {"then": draw(st.sampled_from(then))}})
            return {"switch": cases}


@st.composite
def _catch(draw: st.DrawFn, depth: int, compensable: bool, then: tuple[str, ...]) -> Entry:
    found: Entry = {}
    if draw(st.booleans()):
        found["errors"] = {"with": draw(st.sampled_from([{"type": ERRORS[0]}, {"status": 400}]))}
    if draw(st.integers(0, 4)) == 0:
        found["when"] = draw(CONDITIONS | st.just("$error.status == 400"))
    if draw(st.booleans()):
        limit = {"attempt": {"count": draw(st.integers(0, 3))}}
        found["retry"] = {"delay": {"seconds": 1}, "backoff": {"linear": {}}, "limit": limit}
    if draw(st.booleans()):
        found["do"] = draw(task_lists(depth - 1, "h", compensable=compensable))
    if draw(st.integers(0, 4)) == 0:
        found["then"] = draw(st.sampled_from(then))
    return found


@st.composite
def task_lists(
    draw: st.DrawFn, depth: int, prefix: str, compensable: bool = True, goes_on: bool = False
) -> list[Entry]:
    """Up to three tasks; directives lead onward only. Branches always `continue`."""
    size = draw(st.integers(0 if depth < 2 else 1, 3))
    found: list[Entry] = []
    for place in range(size):
        later = tuple(f"{prefix}{at}" for at in range(place + 1, size))
        then = ("continue", "end") if goes_on else ("continue", "exit", "end", *later)
        task = draw(_composite(depth, compensable, then) if depth and draw(st.booleans()) else _leaf(compensable))
        found.append({f"{prefix}{place}": {**task, **draw(_common(then, compensable))}})
    return found


EXTENSIONS = st.sampled_from(
    [
        [],
        [],
        [{"log": {"extend": "all", "before": [{"say": {"set": {"said": 1}}}]}}],
        [{"log": {"extend": "call", "after": [{"say": {"set": {"n": 2}, "export": {"as": "{n: 2}"}}}]}}],
        [
            {"one": {"extend": "set", "when": "$context.n != 2", "after": [{"x": {"set": {"n": 2}}}]}},
            {"two": {"extend": "all", "before": [{"y": {"call": "given", "with": {}}}]}},
        ],
        [{"skip": {"extend": "call", "when": ".n == 2", "before": [{"z": {"set": {"n": 9}, "then": "exit"}}]}}],
    ]
)


@st.composite
def definitions(draw: st.DrawFn) -> Entry:
    """A whole definition. `given` is what the functions do, by name: each is one task that calls outside."""
    found: Entry = {
        "document": {"dsl": "1.0.3", "namespace": "test", "name": "w", "version": "1.0.0"},
        "use": {
            "functions": {name: {"call": "job", "with": {"kind": "x", "payload": name}} for name in CALLED},
            "extensions": draw(EXTENSIONS),
        },
        "do": draw(task_lists(3, "t")),
    }
    if draw(st.integers(0, 5)) == 0:
        found["timeout"] = {"after": "PT2M"}
    if draw(st.integers(0, 5)) == 0:
        found["output"] = {"as": draw(FORMS)}
    if draw(st.integers(0, 5)) == 0:
        found["input"] = {"from": draw(FORMS)}
    return found
