"""Postgres arrays in their binary wire form, built without a Python call for each element.

Format: PostgreSQL source, `array_send` (dimensions, null flag, element oid, length, lower bound, then each element with its length).
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_LENGTHS = tuple(struct.pack("!i", size) for size in range(4096))
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TextArray(bytes):
    """text[]"""


class BytesArray(bytes):
    """bytea[]"""


class JsonArray(bytes):
    """json[]"""


class UuidArray(bytes):
    """uuid[]"""


class BigintArray(bytes):
    """bigint[]"""


class TimeArray(bytes):
    """timestamptz[]"""


_OIDS: dict[type[bytes], tuple[int, int]] = {
    TextArray: (1009, 25),
    BytesArray: (1001, 17),
    JsonArray: (199, 114),
    UuidArray: (2951, 2950),
    BigintArray: (1016, 20),
    TimeArray: (1185, 1184),
}


def _head(kind: type[bytes], size: int) -> bytes:
    return struct.pack("!iiiii", 1, 0, _OIDS[kind][1], size, 1)


_EMPTY = {kind: kind(struct.pack("!iii", 0, 0, element)) for kind, (_, element) in _OIDS.items()}


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < 4096 else struct.pack("!i", size)


def _of_bytes(kind: type[bytes], items: Sequence[bytes]) -> bytes:
    if not items:
        return _EMPTY[kind]
    parts = [b""] * (2 * len(items))
    try:
        parts[::2] = map(_LENGTHS.__getitem__, map(len, items))
    except IndexError:
        parts[::2] = [_length(len(item)) for item in items]
    parts[1::2] = items
    return kind(_head(kind, len(items)) + b"".join(parts))


def texts(items: Sequence[str]) -> bytes:
    """Most texts come again and again: names of streams and types, tenants."""
    if not items:
        return _EMPTY[TextArray]
    first = items[0]
    if items.count(first) == len(items):
        body = (_known.get(first) or _encoded(first)) * len(items)
    else:
        try:
            body = b"".join(map(_known.__getitem__, items))
        except KeyError:
            body = b"".join([_known.get(item) or _encoded(item) for item in items])
    return TextArray(_head(TextArray, len(items)) + body)


_KNOWN_MAX, _KNOWN_CHARACTERS_MAX = 4_000, 100
_known: dict[str, bytes] = {}
"""Short texts as they stand in an array."""


def _encoded(item: str) -> bytes:
    encoded = item.encode()
    part = _length(len(encoded)) + encoded
    if len(item) <= _KNOWN_CHARACTERS_MAX:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[item] = part
    return part


def different_texts(items: Sequence[str]) -> bytes:
    """Texts that come once, like ids of commands: they are not remembered."""
    return _of_bytes(TextArray, [item.encode() for item in items])


def blobs(items: Sequence[bytes]) -> bytes:
    return _of_bytes(BytesArray, items)


def jsons(items: Sequence[bytes]) -> bytes:
    return _of_bytes(JsonArray, items)


def uuids(items: Sequence[bytes]) -> bytes:
    """Raises ValueError for any that has not 16 bytes: it would shift those behind it."""
    if not items:
        return _EMPTY[UuidArray]
    if set(map(len, items)) != {16}:
        raise ValueError("a UUID has 16 bytes")
    return UuidArray(_head(UuidArray, len(items)) + _LENGTHS[16] + _LENGTHS[16].join(items))


def _of_int64(kind: type[bytes], items: Sequence[int]) -> bytes:
    size = len(items)
    if not size:
        return _EMPTY[kind]
    try:
        if items.count(items[0]) == size:
            body = struct.pack("!iq", 8, items[0]) * size
        else:
            flat: list[int] = [8] * (2 * size)
            flat[1::2] = items
            body = struct.pack("!" + "iq" * size, *flat)
    except struct.error as unfit:
        raise ValueError("a number has more than 64 bits") from unfit
    return kind(_head(kind, size) + body)


def bigints(items: Sequence[int]) -> bytes:
    return _of_int64(BigintArray, items)


def times(items: Iterable[datetime]) -> bytes:
    """Aware times, to the microsecond."""
    return _of_int64(TimeArray, [(item - _EPOCH) // _MICROSECOND for item in items])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


def register(adapters: AdaptersMap) -> None:
    """Teach a connection the array types of this module."""
    for kind, (oid, _) in _OIDS.items():
        adapters.register_dumper(kind, type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid}))
