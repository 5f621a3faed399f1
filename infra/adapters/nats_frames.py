"""Event messages as bytes of the NATS client protocol, many in one piece: a call for each would cost more than they do.

Format: docs.nats.io "Client Protocol" (HPUB); batches: ADR-50 of nats-io/nats-architecture-and-design. Events
never have a Nats-Msg-Id: the expected last sequence fences and deduplicates. Notices have one, since other processes may be told again.
"""

import re
from collections.abc import Sequence

_UNSAFE = re.compile(r"[^A-Za-z0-9_~-]")
_CACHED_MAX = 10_000

Body = tuple[bytes, bytes]
"""Subject and payload."""


def token(text: str) -> str:
    """A text as one token of a subject: what is not a letter, a digit, `_`, `~` or `-` becomes `=XX` for each byte."""
    return _UNSAFE.sub(lambda found: "".join(f"={byte:02X}" for byte in found.group().encode()), text)


class Subjects:
    """The subjects of a shard's events, and of other streams that each shard has one of.

    A stored message's subject is always `evt.<tenant>.<type>`. But the streams of an account must not listen to the
    same subjects, so only shard 0 is published there. Another shard is published on `evt-<shard>.<tenant>.<type>`, and
    the subject transform of its stream stores that as `evt.<tenant>.<type>`.
    """

    def __init__(self, shard: int, root: str = "evt") -> None:
        self._root = root
        self._prefix = root if shard == 0 else f"{root}-{shard}"
        self._known: dict[tuple[str, str], bytes] = {}

    @property
    def captured(self) -> str:
        """What the stream listens to."""
        return f"{self._prefix}.>"

    @property
    def transform(self) -> dict[str, str] | None:
        """The subject transform of the stream, if it needs one."""
        return None if self._prefix == self._root else {"src": self.captured, "dest": f"{self._root}.>"}

    def of(self, tenant_id: str, type_: str) -> bytes:
        """Where an event is published."""
        found = self._known.get((tenant_id, type_))
        if found is None:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            found = self._known[tenant_id, type_] = f"{self._prefix}.{token(tenant_id)}.{type_}".encode()
        return found


def message(body: Body, expected_last: int, reply: bytes) -> bytes:
    """One message, stored only if the stream ends at `expected_last`; `reply` may be empty."""
    subject, payload = body
    header = b"NATS/1.0\r\nNats-Expected-Last-Sequence:%d\r\n\r\n" % expected_last
    return _frame(subject + b" " + reply, header, payload)


def chain(bodies: Sequence[Body], expected_last: int, replies: Sequence[bytes]) -> bytes:
    """Messages that each follow the one before it. Each is answered: that the last one was stored does not say so of those before it."""
    numbered = enumerate(zip(bodies, replies, strict=True), expected_last)
    return b"".join(message(body, position, reply) for position, (body, reply) in numbered)


def batch(bodies: Sequence[Body], batch_id: bytes, expected_last: int, reply: bytes) -> tuple[bytes, bytes]:
    """An atomic batch of at least two messages, as all but the last one and the last one, which commits it."""
    head = b"NATS/1.0\r\nNats-Batch-Id:%b\r\nNats-Batch-Sequence:" % batch_id
    subject, payload = bodies[0]
    frames = [_frame(subject, b"%b1\r\nNats-Expected-Last-Sequence:%d\r\n\r\n" % (head, expected_last), payload)]
    for number, (subject, payload) in enumerate(bodies[1:-1], 2):
        header = b"%b%d\r\n\r\n" % (head, number)
        size = len(header)
        frames.append(b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, size, size + len(payload), header, payload))
    subject, payload = bodies[-1]
    commit = b"%b%d\r\nNats-Batch-Commit:1\r\n\r\n" % (head, len(bodies))
    return b"".join(frames), _frame(subject + b" " + reply, commit, payload)


def named(body: Body, message_id: bytes, reply: bytes) -> bytes:
    """One message that is stored once for its id, within the stream's window for duplicates."""
    subject, payload = body
    return _frame(subject + b" " + reply, b"NATS/1.0\r\nNats-Msg-Id:%b\r\n\r\n" % message_id, payload)


def named_batch(bodies: Sequence[tuple[Body, bytes]], batch_id: bytes, reply: bytes) -> bytes:
    """An atomic batch of messages with their ids; it is refused if the stream has one of them already."""
    frames = []
    for number, ((subject, payload), message_id) in enumerate(bodies, 1):
        last = number == len(bodies)
        header = b"NATS/1.0\r\nNats-Batch-Id:%b\r\nNats-Batch-Sequence:%d\r\nNats-Msg-Id:%b\r\n%b\r\n" % (
            batch_id,
            number,
            message_id,
            b"Nats-Batch-Commit:1\r\n" if last else b"",
        )
        frames.append(_frame(subject + b" " + reply if last else subject + b" ", header, payload))
    return b"".join(frames)


def publish(subject: bytes, reply: bytes, payload: bytes) -> bytes:
    """A message without headers; `reply` may be empty."""
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


def _frame(subject_and_reply: bytes, header: bytes, payload: bytes) -> bytes:
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject_and_reply, len(header), len(header) + len(payload), header, payload)
