"""Decides which versions of a workflow there are, and which of them runs are started from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never, get_args

from pydantic import PrivateAttr

from events.event import Id, JsonObject
from events.workflow import (
    VERSION_CHARACTERS_MAX,
    WorkflowActivated,
    WorkflowDeprecated,
    WorkflowEvent,
    WorkflowRegistered,
    WorkflowVersion,
)
from infra.errors import NotFound, Rejection
from infra.patterns.decider import Command, Decider
from write_side.definition.digest import digest
from write_side.definition.document import Definition, Document
from write_side.definition.reading import InvalidDefinition, read_definition
from write_side.definition.references import check_references

DSL = "1.0."
"""The version of the language, but for the last number."""


class RegisterWorkflow(Command):
    """Make a version of a workflow known, by its definition in the Open Workflow DSL 1.0; its own document says which."""

    creates = True
    whole_body = "definition"

    definition: JsonObject

    _read: Definition = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        """Understand the definition at once. Raises InvalidDefinition."""
        definition = read_definition(self.definition)
        errors = [*_unfit(definition.document), *check_references(definition)]
        if errors:
            raise InvalidDefinition(errors=errors)
        self._read = definition

    @property
    def document(self) -> Document:
        """What the workflow is called, and which version this is."""
        return self._read.document

    @property
    def workflow_id(self) -> str:
        """Namespace and name, for example `travel.book-trip`."""
        return f"{self.document.namespace}.{self.document.name}"


def _unfit(document: Document) -> Iterator[dict[str, str]]:
    """What the language allows and we do not."""
    if not document.dsl.startswith(DSL):
        detail = f"must be {DSL}x: other versions of the language are not understood here"
        yield {"pointer": "/document/dsl", "detail": detail}
    if len(document.version) > VERSION_CHARACTERS_MAX:
        yield {"pointer": "/document/version", "detail": f"must have at most {VERSION_CHARACTERS_MAX} characters"}


class ActivateWorkflow(Command):
    """Have runs that name no version started from this one."""

    workflow_id: Id
    workflow_version: WorkflowVersion


class DeprecateWorkflow(Command):
    """Have no more runs started from this version."""

    workflow_id: Id
    workflow_version: WorkflowVersion


WorkflowCommand = RegisterWorkflow | ActivateWorkflow | DeprecateWorkflow


class WorkflowUnknown(NotFound):
    """There is no such workflow."""


class WorkflowVersionUnknown(NotFound):
    """The workflow has no such version."""


class WorkflowVersionTaken(Rejection):
    """This version of the workflow is known with another definition; a version never changes, register a new one."""


class WorkflowVersionIsDeprecated(Rejection):
    """This version is deprecated; register a new one."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version; its definition is told by its digest."""

    digest: str
    status: Literal["registered", "deprecated"] = "registered"


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """The versions by their numbers, and the one that is active."""

    versions: Mapping[str, Version] = field(default_factory=dict)
    active: str | None = None


def decide(command: WorkflowCommand, state: WorkflowState) -> list[WorkflowEvent]:
    if isinstance(command, RegisterWorkflow):
        return _register(command, state)
    if not state.versions:
        raise WorkflowUnknown(f"there is no workflow {command.workflow_id}", workflow_id=command.workflow_id)
    version = state.versions.get(command.workflow_version)
    if version is None:
        raise WorkflowVersionUnknown(f"workflow {command.workflow_id} has no version {command.workflow_version}")
    if isinstance(command, DeprecateWorkflow):
        return [] if version.status == "deprecated" else [WorkflowDeprecated(workflow_version=command.workflow_version)]
    if version.status == "deprecated":
        raise WorkflowVersionIsDeprecated
    return (
        []
        if state.active == command.workflow_version
        else [WorkflowActivated(workflow_version=command.workflow_version)]
    )


def _register(command: RegisterWorkflow, state: WorkflowState) -> list[WorkflowEvent]:
    document, found = command.document, digest(command.definition)
    known = state.versions.get(document.version)
    if known is not None:
        if known.digest != found:
            raise WorkflowVersionTaken(
                f"version {document.version} of {command.workflow_id} is known with another definition"
            )
        return []
    registered = WorkflowRegistered(
        namespace=document.namespace,
        name=document.name,
        workflow_version=document.version,
        title=document.title,
        summary=document.summary,
        digest=found,
        definition=command.definition,
    )
    return [registered]


def evolve(state: WorkflowState, event: WorkflowEvent) -> WorkflowState:
    match event:
        case WorkflowRegistered(workflow_version=number, digest=found):
            return replace(state, versions={**state.versions, number: Version(found)})
        case WorkflowActivated(workflow_version=number):
            return replace(state, active=number)
        case WorkflowDeprecated(workflow_version=number):
            versions = {**state.versions, number: replace(state.versions[number], status="deprecated")}
            return WorkflowState(versions, None if state.active == number else state.active)
        case _:
            assert_never(event)


WORKFLOW = Decider("workflow", get_args(WorkflowCommand), WorkflowState(), decide, evolve)
