"""Time-ordered identifiers and the clock: the two things that pure code is given and never takes."""

import time
from datetime import UTC, datetime
from random import Random, SystemRandom

_random = Random(SystemRandom().getrandbits(256))
_last_ms = 0
_tail = 0
_TAIL_BITS = 74
_TAIL_STEP_BITS = 32
_LOW_MASK = (1 << 62) - 1


def new_uuid7() -> bytes:
    """A UUIDv7 (RFC 9562) of 16 bytes; within a process each is greater than the one before. Unique, not secret."""
    global _last_ms, _tail
    now_ms = time.time_ns() // 1_000_000
    if now_ms > _last_ms:
        _last_ms = now_ms
        _tail = _random.getrandbits(_TAIL_BITS - 1)
    else:
        _tail += 1 + _random.getrandbits(_TAIL_STEP_BITS)
        if _tail >> _TAIL_BITS:
            _last_ms += 1
            _tail = _random.getrandbits(_TAIL_BITS - 1)
    value = (_last_ms << 80) | (0x7 << 76) | (_tail >> 62 << 64) | (0b10 << 62) | (_tail & _LOW_MASK)
    return value.to_bytes(16, "big")


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
