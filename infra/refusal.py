"""What one of our APIs says when it refuses (RFC 9457), for people."""

import httpx
from pydantic import BaseModel, ValidationError

from infra.errors import Rejection


class Refused(Rejection):
    """The request was refused."""


class _Field(BaseModel):
    """Where in what was sent something is wrong."""

    pointer: str | None = None
    parameter: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        where = self.pointer if self.pointer is not None else self.parameter
        return f"  {where or 'the body'}: {self.detail}"


class Problem(BaseModel):
    """A problem document."""

    type: str = ""
    title: str = ""
    detail: str | None = None
    errors: list[_Field] = []

    @property
    def code(self) -> str:
        """The name of the problem, for example `agent-already-started`."""
        return self.type.rpartition("/")[2]


def problem_of(reply: httpx.Response) -> Problem:
    """The problem document that an answer is; an empty one if it is none."""
    try:
        return Problem.model_validate_json(reply.content)
    except ValidationError:
        return Problem()


def refusal_of(reply: httpx.Response) -> str:
    """What is wrong, and on a line each where; of an answer that is no problem document, its status."""
    problem = problem_of(reply)
    what = problem.detail or problem.title or f"The answer is {reply.status_code} {reply.reason_phrase}."
    return "\n".join([what, *map(str, problem.errors)])
