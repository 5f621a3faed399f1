"""Small changes to a definition, drawn at random: most make it invalid, and many of those only just."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1.0, 2.5, -3, "", "x", "a b", "end", "http", "always", "eventually", "never", "/do/0"),
    *(
        "${ .a }",
        "${ .a }\n",
        "PT5S",
        "P1Y",
        "PT",
        "2026-01-02T03:04:05Z",
        "https://a.example/{b}",
        [],
        {},
        ["x"],
        [{}],
    ),
    *([{"a": {}}], {"x": 1}, {"use": "s"}, {"a": {"set": {"b": 1}}}, [{"a": {"set": {"b": 1}}}]),
)
KINDS = ("call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait")

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of each value in this one, itself included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def value_at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def names_in(documents: Sequence[Any]) -> list[str]:
    """Every key that occurs in these documents, and one that occurs in none."""
    found = {str(path[-1]) for document in documents for path in places(document) if path}
    return sorted(found | {"unheardOf"})


def mutated(draw: random.Random, document: Any, others: Sequence[Any], names: Sequence[str]) -> Any:
    """The document with one or two changes; parts of the others and these names may get into it."""
    document = copy.deepcopy(document)
    for _ in range(draw.choice((1, 1, 1, 2))):
        _change(draw, document, others, names)
    return document


def _change(draw: random.Random, document: Any, others: Sequence[Any], names: Sequence[str]) -> None:
    paths = [path for path in places(document) if path]
    if not paths:
        return
    path = draw.choice(paths)
    parent, name = value_at(document, path[:-1]), path[-1]
    value = parent[name]
    match draw.randrange(8):
        case 0:
            del parent[name]
        case 1 if isinstance(parent, dict):
            parent[draw.choice(names)] = parent.pop(name)
        case 2:
            parent[name] = copy.deepcopy(draw.choice(VALUES))
        case 3:
            target = value if isinstance(value, dict) else parent
            if isinstance(target, dict):
                target[draw.choice(names)] = copy.deepcopy(draw.choice(VALUES))
        case 4 if isinstance(value, list):
            parent[name] = draw.choice(([], value + copy.deepcopy(value)))
        case 5:
            other = draw.choice(others)
            parent[name] = copy.deepcopy(value_at(other, draw.choice(list(places(other)))))
        case 6 if isinstance(value, dict):
            parent[name] = {}
        case _:
            _swap_kind(draw, document, paths)


def _swap_kind(draw: random.Random, document: Any, paths: Sequence[Path]) -> None:
    kinds = [path for path in paths if path[-1] in KINDS]
    if kinds:
        path = draw.choice(kinds)
        parent = value_at(document, path[:-1])
        parent[draw.choice(KINDS)] = parent.pop(path[-1])
