"""What one of our APIs says when it refuses (RFC 9457), for people, and whether what answers is one at all."""

import httpx
from pydantic import BaseModel, ValidationError

from infra.errors import Rejection

PROBLEM = "application/problem+json"
ANSWERS = frozenset({"application/json", "text/event-stream"})


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


def is_answer(reply: httpx.Response) -> bool:
    """Whether one of our APIs was asked and did not refuse."""
    return reply.is_success and _media_type(reply) in ANSWERS


def is_problem(reply: httpx.Response) -> bool:
    """Whether one of our APIs was asked and refused."""
    return not reply.is_success and _media_type(reply) == PROBLEM


def refusal_of(reply: httpx.Response, port_variable: str) -> str:
    """What is wrong, and on a line each where; of what is not Foldwork no more than where it answers, and what says so."""
    if not is_problem(reply):
        url, answer = reply.request.url, f"{reply.status_code} {reply.reason_phrase}".strip()
        where = f"{url.scheme}://{url.netloc.decode()}"
        return f"What answers at {where} is not Foldwork ({answer}); see {port_variable}."
    problem = problem_of(reply)
    what = problem.detail or problem.title or f"The answer is {reply.status_code} {reply.reason_phrase}."
    return "\n".join([what, *map(str, problem.errors)])


def _media_type(reply: httpx.Response) -> str:
    return str(reply.headers.get("content-type", "")).partition(";")[0].strip().lower()
