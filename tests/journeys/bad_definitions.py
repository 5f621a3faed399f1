"""Definitions that are refused, with the status and a word of the reason; and workflows that are bad in other ways once they run."""

from typing import Any

import orjson

from tests.write_side.running import workflow


def written(do: list[Any], **more: Any) -> bytes:
    return orjson.dumps(workflow(do, **more))


def sets(count: int) -> list[Any]:
    return [{f"t{place}": {"set": {"a": 1}}} for place in range(count)]


def nested(depth: int) -> list[Any]:
    found: list[Any] = [{"last": {"set": {"a": 1}}}]
    for _ in range(depth):
        found = [{"deeper": {"do": found}}]
    return found


YAML, JSON = "application/yaml", "application/json"
EXPRESSIONS = [{f"t{place}": {"set": {"a": f"${{ .a + {place} }}"}}} for place in range(4_000)]

REFUSED: dict[str, tuple[bytes, str, int, str]] = {
    "malformed YAML": (b"do: [\n  - {a: ", YAML, 400, "Line"),
    "malformed JSON": (b'{"do": [', JSON, 400, "Line"),
    "no text": (b"\xff\xfe\x00", YAML, 400, "UTF-8"),
    "a list": (b"[1, 2]", JSON, 422, "object"),
    "no definition": (b"a: b", YAML, 422, "/document"),
    "an unknown field": (written([{"a": {"set": {"b": 1}, "sett": 1}}]), JSON, 422, "/do/0/a/sett"),
    "a task without a kind": (written([{"a": {}}]), JSON, 422, "/do/0/a"),
    "a name that leads nowhere": (written([{"a": {"set": {"b": 1}, "then": "z"}}]), JSON, 422, "/do/0/a/then"),
    "a function that is none": (written([{"a": {"call": "nobody"}}]), JSON, 422, "/do/0/a/call"),
    "an expression that does not compile": (written([{"a": {"set": {"b": "${ ] }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "a variable that is not there": (written([{"a": {"set": {"b": "${ $z }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "an environment": (written([{"a": {"set": {"b": "${ $ENV }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "an environment by name": (written([{"a": {"set": {"b": "${ env }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "input of another's": (written([{"a": {"set": {"b": "${ input }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "a file": (written([{"a": {"set": {"b": '${ import "/etc/passwd" as $p; $p }'}}}]), JSON, 422, "/do/0/a/set/b"),
    "a secret in an event": (written([{"a": {"set": {"b": "${ $secrets.k }"}}}]), JSON, 422, "/do/0/a/set/b"),
    "another version of the language": (
        orjson.dumps({**workflow(sets(1)), "document": {**workflow([])["document"], "dsl": "9.0.0"}}),
        JSON,
        422,
        "/document/dsl",
    ),
    "aliases without end": (
        b"a: &a [1,2,3,4,5,6,7,8,9]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 106)),
        YAML,
        400,
        "values",
    ),
    "more than a megabyte": (b"a: " + b"x" * 1_100_000, YAML, 413, "bytes"),
    "more than a request": (b"a: " + b"x" * 5_000_000, YAML, 413, ""),
    "nested without end": (b"[" * 100_000, JSON, 400, "nested"),
    "tasks nested too deeply": (written(nested(40)), JSON, 400, "nested"),
    "6,000 tasks": (written(sets(6_000)), JSON, 422, "at most 5000"),
    "20,000 tasks": (written(sets(20_000)), JSON, 400, "values"),
    "text that a constant makes too long": (written([{"a": {"set": {"b": '${ "a" * 1e9 }'}}}]), JSON, 422, "too large"),
    "4,000 expressions": (written(EXPRESSIONS), JSON, 422, "different expressions"),
}

SECRET = {
    "input": {
        "schema": {
            "document": {
                "type": "object",
                "required": ["pet"],
                "properties": {"pet": {"type": "object", "properties": {"age": {"type": "integer"}}}},
            }
        }
    }
}


def yields(expression: str) -> list[Any]:
    return [{"a": {"set": {"b": f"${{ {expression} }}"}}}]


EXPRESSIONS_THAT_FAIL: dict[str, tuple[str, str]] = {
    "range": ("[range(1e12)] | length", "too"),
    "recursion": ("def f: f; f", "too"),
    "recursion-deep": ("def f: [f]; f", "too"),
    "repeat": ('("a" + .x) * 1e9 | length', "too"),
    "hundreds-of-megabytes": ("[range(30000000)]", "too"),
    "million": ("[range(1000000)]", "too"),
    "regex": ('("a" * 40 + "!") | test("^(a+)+$")', ""),
    "error": ('error("stop")', "stop"),
    "deep": ("reduce range(2000) as $n (1; [.])", ""),
    "nul": ('"\\u0000"', "NUL"),
}

DOUBLES = [
    {"a": {"set": {"b": "${ [.b[], .b[]] }"}, "then": "a"}},
]
FORKS = [{"f": {"fork": {"branches": [{f"b{place}": {"set": {"b": '${ "x" * 400000 }'}}} for place in range(8)]}}}]
CONTEXT = [{"a": {"set": {"b": '${ "x" * 500000 }'}, "export": {"as": "${ . }"}}}]
LARGE = [{f"t{place}": {"set": "${ . }"}} for place in range(200)]
ENDLESS = [{"a": {"set": {"n": "${ .n + 1 }"}, "then": "a"}}]
MILLION = [
    {
        "out": {
            "for": {"each": "one", "in": "${ [range(1000)] }"},
            "do": [{"in": {"for": {"each": "two", "in": "${ [range(1000)] }"}, "do": [{"s": {"set": {"n": 1}}}]}}],
        }
    }
]
GOOD = [
    {"a": {"set": {"n": "${ .n + 1 }"}}},
    {"b": {"wait": {"milliseconds": 50}}},
    {"c": {"set": {"n": "${ .n + 1 }"}}},
]
