"""The definitions of workflows: each version as it was registered, for good."""

from datetime import datetime

from pydantic import JsonValue

from events.envelope import Envelope
from events.workflow import WorkflowRegistered
from infra.patterns.projection import Key, Projection, Row


class DefinitionRow(Row):
    """A version of a workflow with its whole definition; whether it is in use is in the workflow directory."""

    tenant_id: str
    workflow_id: str
    workflow_version: str
    title: str | None
    summary: str | None
    digest: str
    definition: dict[str, JsonValue]
    registered_at: datetime
    position: int


def locate(envelope: Envelope[WorkflowRegistered]) -> Key:
    return envelope.tenant_id, envelope.entity_id, envelope.event.workflow_version


def project(envelope: Envelope[WorkflowRegistered], row: DefinitionRow | None) -> DefinitionRow | None:
    event = envelope.event
    return DefinitionRow(
        tenant_id=envelope.tenant_id,
        workflow_id=envelope.entity_id,
        workflow_version=event.workflow_version,
        title=event.title,
        summary=event.summary,
        digest=event.digest,
        definition=event.definition,
        registered_at=envelope.occurred_at,
        position=envelope.position,
    )


WORKFLOW_DEFINITIONS = Projection(
    name="workflow_definitions",
    version=1,
    row=DefinitionRow,
    key=("tenant_id", "workflow_id", "workflow_version"),
    handles=(WorkflowRegistered,),
    locate=locate,
    project=project,
    one_row_per_event=True,
)
