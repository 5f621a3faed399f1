"""What happens to a workflow: its definitions, one for each version, and which of them runs are started from."""

from typing import Annotated

from pydantic import StringConstraints

from events.event import Event, JsonObject

NAME_CHARACTERS_MAX = 63
VERSION_CHARACTERS_MAX = 100

WorkflowName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$", max_length=NAME_CHARACTERS_MAX)
]
"""A workflow's name or namespace: up to NAME_CHARACTERS_MAX letters, digits and hyphens, as one label of a host name has them."""

WorkflowVersion = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$", max_length=VERSION_CHARACTERS_MAX
    ),
]
"""A semantic version (semver.org)."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A definition's SHA-256 over its canonical JSON: the same for the same definition, however it was written."""


class WorkflowRegistered(Event):
    """When a version of a workflow became known; it stays as it is for ever. `definition` is the document that was sent."""

    type = "workflow.registered"

    namespace: WorkflowName
    name: WorkflowName
    workflow_version: WorkflowVersion
    title: str | None = None
    summary: str | None = None
    digest: Digest
    definition: JsonObject


class WorkflowActivated(Event):
    """When a version became the one that runs are started from if they name none."""

    type = "workflow.activated"

    workflow_version: WorkflowVersion


class WorkflowDeprecated(Event):
    """When a version was given up: no run is started from it any more, those under way go on."""

    type = "workflow.deprecated"

    workflow_version: WorkflowVersion


WorkflowEvent = WorkflowRegistered | WorkflowActivated | WorkflowDeprecated
