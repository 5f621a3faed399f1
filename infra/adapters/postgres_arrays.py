"""Postgres arrays in their binary wire form, built without a Python call for each element.

Format: PostgreSQL source, `array_send` (dimensions, null flag, element oid, length, lower bound, then each element with its length).
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_LENGTHS = tuple(struct.pack("!i", size) for size in range(4096))
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


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
    if size == 0:
        return struct.pack("!iii", 0, 0, _OIDS[kind][1])
    return struct.pack("!iiiii", 1, 0, _OIDS[kind][1], size, 1)


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < 4096 else struct.pack("!i", size)


def _of_bytes(kind: type[bytes], items: Sequence[bytes]) -> bytes:
    return kind(_head(kind, len(items)) + b"".join([_length(len(item)) + item for item in items]))


def texts(items: Sequence[str]) -> bytes:
    """Most texts stand there more than once: each is encoded once."""
    known: dict[str, bytes] = {}
    for item in set(items):
        encoded = item.encode()
        known[item] = _length(len(encoded)) + encoded
    return TextArray(_head(TextArray, len(items)) + b"".join([known[item] for item in items]))


def blobs(items: Sequence[bytes]) -> bytes:
    return _of_bytes(BytesArray, items)


def jsons(items: Sequence[bytes]) -> bytes:
    return _of_bytes(JsonArray, items)


def uuids(items: Sequence[bytes]) -> bytes:
    return _of_bytes(UuidArray, items)


def _of_int64(kind: type[bytes], items: Sequence[int]) -> bytes:
    flat: list[int] = [8] * (2 * len(items))
    flat[1::2] = items
    try:
        return kind(_head(kind, len(items)) + struct.pack("!" + "iq" * len(items), *flat))
    except struct.error as unfit:
        raise ValueError("a number has more than 64 bits") from unfit


def bigints(items: Sequence[int]) -> bytes:
    return _of_int64(BigintArray, items)


def times(items: Iterable[datetime]) -> bytes:
    """Aware times, to the microsecond."""
    since = [item - _EPOCH for item in items]
    return _of_int64(TimeArray, [(s.days * 86_400 + s.seconds) * 1_000_000 + s.microseconds for s in since])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


def register(adapters: AdaptersMap) -> None:
    """Teach a connection the array types of this module."""
    for kind, (oid, _) in _OIDS.items():
        adapters.register_dumper(kind, type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid}))
