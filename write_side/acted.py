"""A command whose decision depends on who sends it."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints

from events.event import Label
from infra.patterns.decider import Command

Actor = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
"""Who acts, as an origin names them: a user, service, agent or saga. 1 to 200 printable ASCII characters without blanks."""


class Acted(Command):
    """Carries its sender, so that `decide` needs no origin.

    `actor` and `groups` are the server's to fill: they are marked so in the schema, and the edge refuses them from a client. A command
    of our own has no actor.
    """

    actor: Actor | None = Field(default=None, json_schema_extra={"server": True})
    groups_of_actor: tuple[Label, ...] = Field(default=(), json_schema_extra={"server": True})

    def sent_by(self, actor: str, groups: tuple[str, ...]) -> Self:
        """The same command from this actor, a member of these groups."""
        return self.model_copy(update={"actor": actor, "groups_of_actor": groups})
