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


class _Problem(BaseModel):
    """A problem document."""

    title: str = ""
    detail: str | None = None
    errors: list[_Field] = []


def refusal_of(reply: httpx.Response) -> str:
    """What is wrong, and on a line each where; of an answer that is no problem document, its status."""
    try:
        problem = _Problem.model_validate_json(reply.content)
    except ValidationError:
        problem = _Problem()
    what = problem.detail or problem.title or f"The answer is {reply.status_code} {reply.reason_phrase}."
    return "\n".join([what, *map(str, problem.errors)])
