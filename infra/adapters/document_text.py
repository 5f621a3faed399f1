"""Documents that people write, from YAML or JSON to JSON's own types: bounded in size, nodes and depth, whatever the text holds.

YAML is read by the core schema of YAML 1.2, in which `on` is text, and so is a date. No tag makes anything but JSON.
"""

import json
import re
from collections.abc import Iterator
from math import isfinite

import yaml

from infra.adapters.problem import BodyTooLarge, Malformed, UnsupportedMediaType

TEXT_BYTES_MAX = 1 << 20
NODES_MAX = 100_000
DEPTH_MAX = 64

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_INTEGER_CHARACTERS_MAX = 64
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAGS = {"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_document(text: bytes, media_type: str) -> object:
    """What the text says, in JSON's types.

    BodyTooLarge beyond TEXT_BYTES_MAX; UnsupportedMediaType unless it is JSON or YAML (RFC 9512); Malformed, with the line where there is
    one, if the text cannot be read, has a key twice or one that is not text, or has more than NODES_MAX values or DEPTH_MAX levels, aliases
    written out.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise BodyTooLarge(f"A document has at most {TEXT_BYTES_MAX} bytes.")
    notation = re.split(r"[/+]", media_type.partition(";")[0].strip().lower())[-1].removeprefix("x-")
    if notation not in {"json", "yaml"}:
        raise UnsupportedMediaType("A document is application/yaml or application/json.")
    try:
        characters = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"The document is not UTF-8 from byte {error.start} on.") from error
    value = _from_json(characters) if notation == "json" else _from_yaml(characters)
    _require_bounds(value)
    return value


def _from_json(text: str) -> object:
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_not_json, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"Line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except RecursionError as error:
        raise Malformed(f"The document is nested deeper than {DEPTH_MAX} levels.") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in pairs:
        if name in made:
            raise Malformed(f"The key {name[:100]!r} stands twice in one object.")
        made[name] = value
    return made


def _not_json(word: str) -> object:
    raise Malformed(f"{word} is no number in JSON.")


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_CHARACTERS_MAX:
        raise Malformed("A whole number has at most 64 bits.")
    value = int(digits, 0) if digits.startswith(("0o", "0x")) else int(digits)
    if not -(1 << 63) <= value < 1 << 63:
        raise Malformed("A whole number has at most 64 bits.")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise Malformed(f"{digits[:100]} is too large a number.")
    return value


def _from_yaml(text: str) -> object:
    try:
        return _Yaml().read(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise Malformed(f"{where}{error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise Malformed(str(error)) from error


class _Yaml:
    """Makes values of the events of a YAML parser, without recursion; an alias counts as often as it stands."""

    def __init__(self) -> None:
        self._nodes = 0
        self._anchored: dict[str, tuple[object, int]] = {}

    def read(self, events: Iterator[yaml.Event]) -> object:
        documents: list[object] = []
        open_: list[tuple[yaml.CollectionStartEvent, list[object], int]] = []
        value: object
        for event in events:
            if isinstance(event, yaml.CollectionStartEvent):
                self._count(event, 1)
                _require_known_tag(event, event.tag)
                if len(open_) == DEPTH_MAX:
                    raise Malformed(f"{_place(event)}the document is nested deeper than {DEPTH_MAX} levels.")
                open_.append((event, [], self._nodes))
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                start, items, before = open_.pop()
                value = items if isinstance(start, yaml.SequenceStartEvent) else _mapping(start, items)
                self._remember(start.anchor, value, 1 + self._nodes - before)
            elif isinstance(event, yaml.ScalarEvent):
                self._count(event, 1)
                value = _scalar(event)
                self._remember(event.anchor, value, 1)
            elif isinstance(event, yaml.AliasEvent):
                value = self._alias(event)
            else:
                continue
            (open_[-1][1] if open_ else documents).append(value)
        if len(documents) != 1:
            raise Malformed(f"The text holds {len(documents)} documents, not one.")
        return documents[0]

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise Malformed(f"{_place(event)}the document has more than {NODES_MAX} values.")

    def _remember(self, anchor: str | None, value: object, nodes: int) -> None:
        if anchor is not None:
            self._anchored[anchor] = (value, nodes)

    def _alias(self, event: yaml.AliasEvent) -> object:
        anchor = str(event.anchor)
        if anchor not in self._anchored:
            raise Malformed(f"{_place(event)}no value before this one is called {anchor[:100]!r}.")
        value, nodes = self._anchored[anchor]
        self._count(event, nodes)
        return value


def _mapping(start: yaml.Event, items: list[object]) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise Malformed(f"{_place(start)}a key of this object is not text; write it in quotes.")
        if key in made:
            raise Malformed(f"{_place(start)}the key {key[:100]!r} stands twice in this object.")
        made[key] = value
    return made


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    _require_known_tag(event, event.tag)
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _NOT_FINITE.fullmatch(text):
        return _not_json(text)
    return _float(text) if _FLOAT.fullmatch(text) else text


def _require_known_tag(event: yaml.Event, tag: str | None) -> None:
    if tag is not None and tag not in _TAGS:
        raise Malformed(f"{_place(event)}the tag {tag[:100]!r} makes nothing that JSON has.")


def _place(event: yaml.Event) -> str:
    mark = event.start_mark
    return f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _require_bounds(value: object) -> None:
    """Refuse what is too much, and text that UTF-8 or Postgres cannot hold."""
    level, nodes = [value], 0
    for depth in range(DEPTH_MAX + 1):
        nodes += len(level)
        if nodes > NODES_MAX:
            raise Malformed(f"The document has more than {NODES_MAX} values.")
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                _require_storable(item)
            elif isinstance(item, dict | list) and depth == DEPTH_MAX:
                raise Malformed(f"The document is nested deeper than {DEPTH_MAX} levels.")
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below


def _require_storable(text: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text if character > "\u07ff"):
        raise Malformed("A text holds the NUL character or half of a surrogate pair.")
