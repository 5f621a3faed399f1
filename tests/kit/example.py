"""What is said of an example of the specification: how it runs to its end here, which test plays it, or why it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.write_side.dsl_case import UNSAID


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that reaches the world outside: it has these query parameters and headers, and this body."""

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = UNSAID


@dataclass(frozen=True, slots=True)
class Plays:
    """An example runs to its end: started with `given`, told what it `hears` once it listens; it `asks` these among others, in order.

    `output` may be said in part, as a mapping of what is in it. An example with an `error` faults.
    """

    given: Any = None
    hears: tuple[Mapping[str, Any], ...] = ()
    output: Any = UNSAID
    error: Mapping[str, Any] | None = None
    asks: tuple[Ask, ...] = ()
    waits_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Own:
    """An example needs more than that; this test plays it."""

    test: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What is valid, but not supported: its registration is refused with an error at this place, and nothing ever runs wrongly."""

    pointer: str


Said = Plays | Own


@dataclass(frozen=True, slots=True)
class Statement:
    """`section` of the reference `says` that a run of `definition` goes like this."""

    section: str
    says: str
    definition: str
    plays: Plays | Refused

    def __str__(self) -> str:
        return f"{self.section}: {self.says}"


def event(type_: str, data: Any, **more: Any) -> dict[str, Any]:
    """A CloudEvent with an id of its own."""
    return {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": "https://kit.example",
        "type": type_,
        "data": data,
        **more,
    }
