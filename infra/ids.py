"""Time-ordered identifiers and the clock: the two things that pure code is given and never takes."""

import time
from datetime import UTC, datetime
from random import SystemRandom

_random = SystemRandom()
_last_ms = 0
_tail = 0
_TAIL_BITS = 74


def new_uuid7() -> bytes:
    """A UUIDv7 (RFC 9562) of 16 bytes; within a process each is greater than the one before."""
    global _last_ms, _tail
    now_ms = time.time_ns() // 1_000_000
    if now_ms > _last_ms:
        _last_ms = now_ms
        _tail = _random.getrandbits(_TAIL_BITS - 1)
    else:
        _tail += 1 + int.from_bytes(_entropy(), "big")
        if _tail >> _TAIL_BITS:
            _last_ms += 1
            _tail = _random.getrandbits(_TAIL_BITS - 1)
    high = (_last_ms << 16) | 0x7000 | (_tail >> 62)
    low = (0b10 << 62) | (_tail & 0x3FFF_FFFF_FFFF_FFFF)
    return ((high << 64) | low).to_bytes(16, "big")


_pool = b""
_pool_at = 0


def _entropy() -> bytes:
    """Four random bytes from a buffer, since one system call for each id would cost more than the id."""
    global _pool, _pool_at
    if _pool_at + 4 > len(_pool):
        _pool, _pool_at = _random.randbytes(4096), 0
    _pool_at += 4
    return _pool[_pool_at - 4 : _pool_at]


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
