"""A job as the node that does it sees it, and what does it: a handler for each kind of job.

Guarantee: at least once. An attempt is begun again when the node was restarted meanwhile; what it reports after it was lost is refused.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

ERROR_CHARACTERS_MAX = 4_000


@dataclass(frozen=True, slots=True)
class Gpu:
    """A part of one GPU of the node, in thousandths; 1,000 is all of it."""

    index: int
    milli: int


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at a job, which counts from 1, with the room that is set aside for it."""

    id: str
    tenant: str
    kind: str
    attempt: int
    payload: Mapping[str, Any]
    cpu_milli: int
    memory_mib: int
    gpus: tuple[Gpu, ...]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any], gpus: tuple[Gpu, ...]) -> "Job":
        """From a row of the job board."""
        return cls(
            row["job_id"],
            row["tenant_id"],
            row["kind"],
            row["attempt"],
            row["payload"],
            row["cpu_milli"],
            row["memory_mib"],
            gpus,
            row["labels"],
        )


class JobError(Exception):
    """Raised by a handler to fail the attempt with just this text."""


class JobHandler(Protocol):
    """What does the jobs of a kind. `do` gives the result; what it raises fails the attempt, and it is cancelled when nobody wants the job
    any more. `open` comes before the first job, with the tenant and the name of the node, and `close` in the end, also if `open` failed."""

    async def open(self, tenant: str, node: str) -> None: ...

    async def do(self, job: Job) -> Any: ...

    async def close(self) -> None: ...


class FunctionHandler:
    """A function that does the jobs of a kind."""

    def __init__(self, function: Callable[[Job], Awaitable[Any]]) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                "A function that does jobs must be async: others cannot be stopped when their job is cancelled."
            )
        self._function = function

    async def open(self, tenant: str, node: str) -> None:
        """It needs nothing."""

    async def do(self, job: Job) -> Any:
        return await self._function(job)

    async def close(self) -> None:
        """It has nothing."""


def text_of(error: BaseException) -> str:
    """An error as it may stand in an event."""
    text = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()[:ERROR_CHARACTERS_MAX]
