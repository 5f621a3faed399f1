"""Time-ordered identifiers and the clock: the two things that pure code is given and never takes."""

import time
from datetime import UTC, datetime
from random import Random, SystemRandom
from struct import Struct

_random = Random(SystemRandom().getrandbits(256))
_pack = Struct(">QQ").pack
_last_ms = 0
_high = 0
_low = 0
_HIGH_BITS, _LOW_BITS = 12, 61
_LOW_FIRST, _LOW_END = 0b10 << 62, 0b11 << 62


def new_uuid7() -> bytes:
    """A UUIDv7 (RFC 9562) of 16 bytes; within a process each is greater than the one before. Unique, not secret.

    Each millisecond begins at a random one of 2^73, and counts up from there.
    """
    global _last_ms, _high, _low
    now_ms = time.time_ns() // 1_000_000
    _low += 1
    if now_ms > _last_ms or _low >= _LOW_END:
        _last_ms = max(now_ms, _last_ms + 1)
        _high = _last_ms << 16 | 0x7000 | _random.getrandbits(_HIGH_BITS)
        _low = _LOW_FIRST | _random.getrandbits(_LOW_BITS)
    return _pack(_high, _low)


def uuid_text(raw: bytes) -> str:
    """The usual text of a 16-byte UUID."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid_bytes(text: str) -> bytes:
    """The 16 bytes of a UUID's text."""
    return bytes.fromhex(text.replace("-", ""))


def new_id() -> str:
    """A new UUIDv7 as text."""
    return uuid_text(new_uuid7())


def utc_now() -> datetime:
    return datetime.now(UTC)
