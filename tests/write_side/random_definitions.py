"""Random workflow definitions that always come to rest: every kind of task, nested a few levels deep, none of which goes back.

Only a seed is drawn from Hypothesis: drawing each part took it ten times longer than to run what came of it.
"""

from random import Random
from typing import Any

from hypothesis import strategies as st

Entry = dict[str, Any]

CONDITIONS = ("true", "false", ".n > 1", "$context.n == 2", ".missing", "$input.n != 3")
VALUES = (".", ".n", "$context", "$input", "{n: 2}", "{n: 3, of: $task.name}", "[1, 2]")
FAILING = ('error("no")', ".n.m.o", '{n: 1} | .n + "x"')
TYPES = ("a", "b")
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


def _once_in(random: Random, times: int) -> bool:
    return random.randrange(times) == 0


def _form(random: Random) -> str:
    return random.choice(FAILING if _once_in(random, 8) else VALUES)


def _common(random: Random, then: tuple[str, ...], compensable: bool) -> Entry:
    """What a task of any kind may have."""
    found: Entry = {}
    if _once_in(random, 12):
        found["if"] = random.choice(CONDITIONS)
    if _once_in(random, 12):
        found["input"] = {"from": _form(random)}
    if _once_in(random, 12):
        found["output"] = {"as": _form(random)}
    if _once_in(random, 12):
        found["export"] = {"as": random.choice(VALUES)}
    if _once_in(random, 16):
        part = found.setdefault(random.choice(("input", "output")), {})
        part["schema"] = {"resource": {"endpoint": random.choice(SCHEMAS)}}
    if _once_in(random, 12):
        found["timeout"] = TIMEOUT
    if _once_in(random, 12):
        found["then"] = random.choice(then)
    if compensable and _once_in(random, 4):
        found["metadata"] = {"compensate": _task_list(random, 1, "u", compensable=False)}
    return found


def _leaf(random: Random, compensable: bool) -> Entry:
    number = random.randrange(4)
    match random.randrange(10):
        case 0:
            return {"set": {"n": random.randrange(5), "was": "${ .n }"}}
        case 1:
            return {"set": braced(random.choice(VALUES))}
        case 2:
            return {"call": random.choice(CALLED), "with": {"n": number}}
        case 3:
            return {"call": random.choice(CALLED[:2]), "with": {"n": number}}
        case 4:
            return {"call": random.choice(FUNCTIONS), "with": {"n": number}}
        case 5:
            return {"wait": {"seconds": 3}}
        case 6:
            return {"emit": {"event": {"with": {"type": random.choice(TYPES), "data": "${ . }"}}}}
        case 7:
            return {"raise": {"error": {"type": random.choice(ERRORS), "status": 400}}}
        case 8:
            child = {"namespace": "test", "name": "child", "version": "1.0.0"}
            return {"run": {"await": _once_in(random, 2), "workflow": child}}
        case _:
            return _listen(random, compensable)


def _listen(random: Random, compensable: bool) -> Entry:
    one, other = ({"with": {"type": random.choice(TYPES)}} for _ in range(2))
    to: Entry = random.choice(
        (
            {"one": one},
            {"all": [one, other]},
            {"any": [one, other]},
            {"any": [], "until": "length > 2"},
            {"any": [one], "until": {"one": {"with": {"type": "b"}}}},
        )
    )
    found: Entry = {"listen": {"to": to}}
    if _once_in(random, 2):
        found["foreach"] = {"item": "event", "do": _task_list(random, 0, "e", compensable)}
    return found


def _composite(random: Random, depth: int, compensable: bool, then: tuple[str, ...]) -> Entry:
    match random.choice(("do", "for", "fork", "try", "switch")):
        case "do":
            return {"do": _task_list(random, depth - 1, "x", compensable)}
        case "for":
            items = random.choice(("[1, 2]", "[]", "[{n: 1}, {n: 2}]", "[3]", ".n"))
            found: Entry = {"for": {"each": "one", "in": braced(items)}}
            found["do"] = _task_list(random, depth - 1, "x", compensable)
            return found | ({"while": random.choice(CONDITIONS)} if _once_in(random, 2) else {})
        case "fork":
            branches = _task_list(random, depth - 1, "b", compensable, goes_on=True)
            return {"fork": {"compete": _once_in(random, 2), "branches": branches}}
        case "try":
            tried = _task_list(random, depth - 1, "x", compensable)
            return {"try": tried, "catch": _catch(random, depth, compensable, then)}
        case _:
            cases: list[Entry] = [{"c": {"when": random.choice(CONDITIONS), "then": random.choice(then)}}]
            if _once_in(random, 2):
                cases.append({"d": {"then": random.choice(then)}})
            return {"switch": cases}


def _catch(random: Random, depth: int, compensable: bool, then: tuple[str, ...]) -> Entry:
    found: Entry = {}
    if _once_in(random, 2):
        found["errors"] = {"with": random.choice(({"type": ERRORS[0]}, {"status": 400}))}
    if _once_in(random, 5):
        found["when"] = random.choice((*CONDITIONS, "$error.status == 400"))
    if _once_in(random, 2):
        limit = {"attempt": {"count": random.randrange(4)}}
        found["retry"] = {"delay": {"seconds": 1}, "backoff": {"linear": {}}, "limit": limit}
    if _once_in(random, 2):
        found["do"] = _task_list(random, depth - 1, "h", compensable)
    if _once_in(random, 5):
        found["then"] = random.choice(then)
    return found


def _task_list(random: Random, depth: int, prefix: str, compensable: bool = True, goes_on: bool = False) -> list[Entry]:
    """Up to three tasks; directives lead onward only. Branches always `continue`."""
    size = random.randint(0 if depth < 2 else 1, 3)
    found: list[Entry] = []
    for place in range(size):
        later = tuple(f"{prefix}{at}" for at in range(place + 1, size))
        then = ("continue", "end") if goes_on else ("continue", "exit", "end", *later)
        composed = depth and _once_in(random, 2)
        task = _composite(random, depth, compensable, then) if composed else _leaf(random, compensable)
        found.append({f"{prefix}{place}": {**task, **_common(random, then, compensable)}})
    return found


EXTENSIONS: tuple[list[Entry], ...] = (
    [],
    [],
    [{"log": {"extend": "all", "before": [{"say": {"set": {"said": 1}}}]}}],
    [{"log": {"extend": "call", "after": [{"say": {"set": {"n": 2}, "export": {"as": "{n: 2}"}}}]}}],
    [
        {"one": {"extend": "set", "when": "$context.n != 2", "after": [{"x": {"set": {"n": 2}}}]}},
        {"two": {"extend": "all", "before": [{"y": {"call": "given", "with": {}}}]}},
    ],
    [{"skip": {"extend": "call", "when": ".n == 2", "before": [{"z": {"set": {"n": 9}, "then": "exit"}}]}}],
)


def definition(seed: int) -> Entry:
    """A whole definition. `given` is what the functions do, by name: each is one task that calls outside."""
    random = Random(seed)
    found: Entry = {
        "document": {"dsl": "1.0.3", "namespace": "test", "name": "w", "version": "1.0.0"},
        "use": {
            "functions": {name: {"call": "job", "with": {"kind": "x", "payload": name}} for name in CALLED},
            "extensions": random.choice(EXTENSIONS),
        },
        "do": _task_list(random, 3, "t"),
    }
    if _once_in(random, 6):
        found["timeout"] = {"after": "PT2M"}
    if _once_in(random, 6):
        found["output"] = {"as": _form(random)}
    if _once_in(random, 6):
        found["input"] = {"from": _form(random)}
    return found


def definitions() -> st.SearchStrategy[Entry]:
    return st.integers(0, 2**64).map(definition)
