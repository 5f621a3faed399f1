"""The root of a definition: what the workflow is called, what it takes and yields, what its tasks share, and when it starts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from write_side.definition.authentication import ReusableAuthentication
from write_side.definition.errors import ErrorDefinition, RetryPolicy
from write_side.definition.events import EventConsumption, ReadAs
from write_side.definition.resources import Catalog, Input, Output
from write_side.definition.tasks import Task, TaskList
from write_side.definition.values import (
    DnsLabel,
    Duration,
    JsonObject,
    Maybe,
    OpenPart,
    Part,
    SemanticVersion,
    Timeout,
    TimeoutOrName,
)


class Document(Part):
    """What the workflow is called, and in which version of the language it is written."""

    dsl: SemanticVersion
    namespace: DnsLabel
    name: DnsLabel
    version: SemanticVersion
    title: Maybe[str] = None
    summary: Maybe[str] = None
    tags: JsonObject = {}
    metadata: JsonObject = {}


class Extension(Part):
    """What is done before and after every task of a kind."""

    extend: Literal["call", "composite", "emit", "for", "listen", "raise", "run", "set", "switch", "try", "wait", "all"]
    when: Maybe[str] = None
    before: TaskList = ()
    after: TaskList = ()


class Use(Part):
    """What the tasks share, by name."""

    authentications: dict[str, ReusableAuthentication] = {}
    errors: dict[str, ErrorDefinition] = {}
    extensions: tuple[Annotated[dict[str, Extension], Field(min_length=1, max_length=1)], ...] = ()
    functions: dict[str, Task] = {}
    retries: dict[str, RetryPolicy] = {}
    secrets: tuple[str, ...] = ()
    timeouts: dict[str, Timeout] = {}
    catalogs: dict[str, Catalog] = {}


class Schedule(Part):
    """When the workflow starts by itself."""

    every: Maybe[Duration] = None
    cron: Maybe[str] = None
    after: Maybe[Duration] = None
    on: Maybe[EventConsumption] = None
    read: Maybe[ReadAs] = None

    @model_validator(mode="after")
    def _reads_events_if_anything(self) -> "Schedule":
        if self.given("read") and not self.given("on"):
            raise ValueError("must have read only beside on")
        return self


class Evaluation(Part):
    """The language of runtime expressions, and whether they stand between `${` and `}`."""

    language: str = "jq"
    mode: Literal["strict", "loose"] = "strict"


class Definition(OpenPart):
    """A workflow as its author wrote it."""

    document: Document
    do: TaskList
    input: Maybe[Input] = None
    use: Use = Use()
    timeout: Maybe[TimeoutOrName] = None
    output: Maybe[Output] = None
    schedule: Maybe[Schedule] = None
    evaluate: Evaluation = Evaluation()
