"""What Foldwork answers: where a command's events are, or why it was refused (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A command that was carried out: the version of its stream and the position in the log after it."""

    stream_id: str
    version: int
    position: int
    event_ids: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Answer":
        return cls(document["stream_id"], document["version"], document["position"], tuple(document["event_ids"]))


class Refused(Exception):
    """Foldwork understood what was asked and refused it; asking again changes nothing."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        wrong = "".join(f"\n  {_place(each)}: {each.get('detail')}" for each in problem.get("errors") or ())
        super().__init__(f"{problem.get('detail')} ({problem.get('status')}){wrong}")
        self.problem = problem

    @property
    def status(self) -> int:
        return int(self.problem.get("status", 0))

    @property
    def code(self) -> str:
        """The stable name of the reason, for example `agent-already-started`."""
        return str(self.problem.get("type", "")).rpartition("/")[2]


def _place(wrong: Mapping[str, Any]) -> str:
    """Where in what was sent something is wrong."""
    return str(wrong.get("pointer") or wrong.get("parameter") or "the body")


CONTENDED = frozenset({"version-conflict", "stream-moved", "basis-lost"})
"""Others wrote to the same stream all the time: to whoever named no version that is no refusal, but a reason to ask again."""


class Unavailable(Exception):
    """Foldwork did not answer in time. A command may have been carried out; to repeat it under the same id is safe."""


def too_large(bytes_max: int) -> Refused:
    """What is larger than the NATS server takes never gets there."""
    return Refused({"status": 413, "type": "body-too-large", "detail": f"A body may be {bytes_max} bytes at most."})
