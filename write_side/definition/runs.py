"""What a run task runs: a container, a script, a shell command, or another workflow."""

from typing import Literal

from pydantic import model_validator

from write_side.definition.resources import ExternalResource
from write_side.definition.values import Duration, Flag, JsonObject, Maybe, Part

KINDS = ("container", "script", "shell", "workflow")


class ContainerLifetime(Part):
    """When the container is removed; some time after its end has to say which time."""

    cleanup: Literal["always", "never", "eventually"]
    after: Maybe[Duration] = None

    @model_validator(mode="after")
    def _says_when_eventually_is(self) -> "ContainerLifetime":
        if self.cleanup == "eventually" and not self.given("after"):
            raise ValueError("must have after, since cleanup is eventually")
        if self.cleanup != "eventually" and self.given("after"):
            raise ValueError("must have after only if cleanup is eventually")
        return self


class Container(Part):
    """A container to start."""

    image: str
    name: Maybe[str] = None
    command: Maybe[str] = None
    ports: JsonObject = {}
    volumes: JsonObject = {}
    environment: JsonObject = {}
    stdin: Maybe[str] = None
    arguments: tuple[str, ...] = ()
    lifetime: Maybe[ContainerLifetime] = None
    pull_policy: Maybe[Literal["ifNotPresent", "always", "never"]] = None


class Script(Part):
    """A script to run, by its code or by where that lies."""

    language: str
    code: Maybe[str] = None
    source: Maybe[ExternalResource] = None
    stdin: Maybe[str] = None
    arguments: tuple[str, ...] = ()
    environment: JsonObject = {}

    @model_validator(mode="after")
    def _has_one_source(self) -> "Script":
        if len(self.given("code", "source")) != 1:
            raise ValueError("must have exactly one of code, source")
        return self


class Shell(Part):
    """A shell command to run."""

    command: str
    stdin: Maybe[str] = None
    arguments: tuple[str, ...] = ()
    environment: JsonObject = {}


class Subflow(Part):
    """Another workflow to run, and its input."""

    namespace: str
    name: str
    version: str
    input: JsonObject = {}


class Run(Part):
    """Exactly one thing to run, whether to wait for its end, and what of it is the output."""

    await_: Flag = True
    return_: Literal["stdout", "stderr", "code", "all", "none"] = "stdout"
    container: Maybe[Container] = None
    script: Maybe[Script] = None
    shell: Maybe[Shell] = None
    workflow: Maybe[Subflow] = None

    @model_validator(mode="after")
    def _has_one_kind(self) -> "Run":
        if len(self.given(*KINDS)) != 1:
            raise ValueError(f"must have exactly one of {', '.join(KINDS)}")
        return self
