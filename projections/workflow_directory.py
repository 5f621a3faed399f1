"""The workflow directory: every workflow with its versions, and the one that runs are started from."""

from datetime import datetime
from typing import Literal, assert_never, get_args

from pydantic import BaseModel, ConfigDict

from events.envelope import Envelope
from events.workflow import WorkflowActivated, WorkflowDeprecated, WorkflowEvent, WorkflowRegistered
from infra.patterns.projection import Key, Projection, Row

VersionStatus = Literal["registered", "active", "deprecated"]


class VersionOfWorkflow(BaseModel):
    """One version as it is now; registered, but not the active one, means that a run may still name it."""

    model_config = ConfigDict(frozen=True)

    workflow_version: str
    status: VersionStatus
    digest: str
    registered_at: datetime


class WorkflowRow(Row):
    """A workflow as it is now; title and summary are those of the version that was registered last."""

    tenant_id: str
    workflow_id: str
    namespace: str
    name: str
    title: str | None = None
    summary: str | None = None
    active_version: str | None = None
    versions: tuple[VersionOfWorkflow, ...]
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


def locate(envelope: Envelope[WorkflowEvent]) -> Key:
    return envelope.tenant_id, envelope.entity_id


def project(envelope: Envelope[WorkflowEvent], row: WorkflowRow | None) -> WorkflowRow | None:
    event, at = envelope.event, envelope.occurred_at
    if isinstance(event, WorkflowRegistered):
        row = _registered(event, envelope, row)
    elif row is None:
        return None
    elif isinstance(event, WorkflowActivated):
        versions = _with_status(row.versions, row.active_version, "registered")
        versions = _with_status(versions, event.workflow_version, "active")
        row = row.model_copy(update={"versions": versions, "active_version": event.workflow_version})
    elif isinstance(event, WorkflowDeprecated):
        active = None if row.active_version == event.workflow_version else row.active_version
        versions = _with_status(row.versions, event.workflow_version, "deprecated")
        row = row.model_copy(update={"versions": versions, "active_version": active})
    else:
        assert_never(event)
    return row.model_copy(update={"updated_at": at, "version": envelope.stream_version, "position": envelope.position})


def _registered(event: WorkflowRegistered, envelope: Envelope[WorkflowEvent], row: WorkflowRow | None) -> WorkflowRow:
    at = envelope.occurred_at
    version = VersionOfWorkflow(
        workflow_version=event.workflow_version, status="registered", digest=event.digest, registered_at=at
    )
    if row is not None:
        versions = (*row.versions, version)
        return row.model_copy(update={"versions": versions, "title": event.title, "summary": event.summary})
    return WorkflowRow(
        tenant_id=envelope.tenant_id,
        workflow_id=envelope.entity_id,
        namespace=event.namespace,
        name=event.name,
        title=event.title,
        summary=event.summary,
        versions=(version,),
        created_at=at,
        updated_at=at,
        version=envelope.stream_version,
        position=envelope.position,
    )


def _with_status(
    versions: tuple[VersionOfWorkflow, ...], number: str | None, status: VersionStatus
) -> tuple[VersionOfWorkflow, ...]:
    return tuple(
        version.model_copy(update={"status": status}) if version.workflow_version == number else version
        for version in versions
    )


WORKFLOW_DIRECTORY = Projection(
    name="workflow_directory",
    version=1,
    row=WorkflowRow,
    key=("tenant_id", "workflow_id"),
    handles=get_args(WorkflowEvent),
    locate=locate,
    project=project,
    indexes=(("tenant_id", "namespace", "workflow_id"), ("tenant_id", "name", "workflow_id")),
)
