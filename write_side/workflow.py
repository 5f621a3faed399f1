"""Decides which versions of a workflow there are, and which of them runs are started from."""

import re
from collections.abc import Collection, Iterator, Mapping
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
from infra.functions import function_names
from infra.patterns.decider import Command, Decider
from write_side.definition.digest import digest
from write_side.definition.document import Definition, Document
from write_side.definition.expressions import EXPRESSIONS_MAX, check_expressions
from write_side.definition.reading import ERRORS_LISTED_MAX, InvalidDefinition, read_definition
from write_side.definition.references import check_references
from write_side.definition.schedule import check_schedule
from write_side.definition.supported import check_compensation, check_supported
from write_side.definition.tasks import DoTask
from write_side.definition.walk import tasks
from write_side.interpreter.beginning import OUR_FUNCTIONS
from write_side.interpreter.plan import compensations

DSL = "1.0."
"""The version of the language, but for the last number."""
_UNDOING = "undoing"
_IN_UNDOING = re.compile(rf"/do/([0-9]+)/{_UNDOING}/do(?=/)")
TASKS_MAX = 5_000
"""How many tasks a definition has at most; a loop does one of them as often as it is asked to."""


class RegisterWorkflow(Command):
    """Make a version of a workflow known, by its definition in the Open Workflow DSL 1.0; its own document says which."""

    creates = True
    whole_body = "definition"
    whole_body_types = ("application/yaml", "application/x-yaml", "text/yaml")

    definition: JsonObject

    _read: Definition = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        """Understand the definition at once. Raises InvalidDefinition."""
        definition = read_definition(self.definition)
        check_definition(definition)
        self._read = definition

    @property
    def document(self) -> Document:
        """What the workflow is called, and which version this is."""
        return self._read.document

    @property
    def workflow_id(self) -> str:
        """Namespace and name, for example `travel.book-trip`."""
        return f"{self.document.namespace}.{self.document.name}"


def check_definition(definition: Definition, expressions_max: int = EXPRESSIONS_MAX) -> None:
    """Raises InvalidDefinition for what is well written and cannot be run."""
    _require_bounds(definition)
    functions, programs = OUR_FUNCTIONS | function_names(), set[str]()
    errors = [
        *_unfit(definition.document),
        *check_references(definition, functions),
        *check_schedule(definition.schedule),
        *check_supported(definition, functions),
        *check_expressions(definition, programs, programs_max=expressions_max),
        *_of_compensations(definition, functions, programs, expressions_max),
    ]
    if errors:
        raise InvalidDefinition(errors=errors[:ERRORS_LISTED_MAX])


def _require_bounds(definition: Definition) -> None:
    """Raises InvalidDefinition for more tasks than one definition may have, before they are looked at one by one."""
    found = sum(1 for _ in tasks(definition)) + sum(len(listed) for _, listed in compensations(definition))
    if found > TASKS_MAX:
        detail = f"holds {found} tasks; a workflow has at most {TASKS_MAX}"
        raise InvalidDefinition(errors=[{"pointer": "/do", "detail": detail}])


def _of_compensations(
    definition: Definition, functions: Collection[str], programs: set[str], expressions_max: int
) -> Iterator[dict[str, str]]:
    """What is wrong with the lists that undo tasks: each is looked at as if it were a task of the workflow's own, and all at once."""
    places, listed = [], []
    for place, undoing in compensations(definition):
        places.append(place)
        listed.append({_UNDOING: DoTask.model_construct({"do"}, do=undoing)})
    if not places:
        return
    alone = definition.model_copy(update={"do": listed})
    found = [
        *check_references(alone, functions),
        *check_supported(alone, functions),
        *check_expressions(alone, programs, compensates=True, programs_max=expressions_max),
    ]
    for reference, _, task in tasks(alone):
        found += check_compensation(reference, task)
    for error in found:
        inside = _IN_UNDOING.match(error["pointer"])
        if inside:
            yield {**error, "pointer": places[int(inside[1])] + error["pointer"][inside.end() :]}


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
    """One version and its definition, as it was sent."""

    digest: str
    definition: JsonObject
    status: Literal["registered", "deprecated"] = "registered"


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """The versions by their numbers, in the order of their registration, and the one that is active, by which of all activations."""

    versions: Mapping[str, Version] = field(default_factory=dict)
    active: str | None = None
    activations: int = 0

    def is_active(self, number: str, activation: int) -> bool:
        """Whether this version is active and has been so since that activation, counted from 1."""
        return self.active == number and self.activations == activation


def version_to_run(workflow_id: str, state: WorkflowState, number: str | None) -> tuple[str, Version]:
    """The version that a run is started from: the one that is named, else the active one, else the last that is not deprecated."""
    if not state.versions:
        raise WorkflowUnknown(f"there is no workflow {workflow_id}", workflow_id=workflow_id)
    if number is None:
        living = [name for name, version in state.versions.items() if version.status != "deprecated"]
        number = state.active or (living[-1] if living else [*state.versions][-1])
    version = state.versions.get(number)
    if version is None:
        raise WorkflowVersionUnknown(f"workflow {workflow_id} has no version {number}")
    if version.status == "deprecated":
        raise WorkflowVersionIsDeprecated
    return number, version


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
        case WorkflowRegistered(workflow_version=number, digest=found, definition=definition):
            return replace(state, versions={**state.versions, number: Version(found, definition)})
        case WorkflowActivated(workflow_version=number):
            return replace(state, active=number, activations=state.activations + 1)
        case WorkflowDeprecated(workflow_version=number):
            versions = {**state.versions, number: replace(state.versions[number], status="deprecated")}
            return replace(state, versions=versions, active=None if state.active == number else state.active)
        case _:
            assert_never(event)


WORKFLOW = Decider("workflow", get_args(WorkflowCommand), WorkflowState(), decide, evolve)
