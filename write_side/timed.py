"""A command whose decision depends on the time at which it was asked."""

from pydantic import AwareDatetime, Field

from infra.ids import utc_now
from infra.patterns.decider import Command


class Timed(Command):
    """Carries the time, so that `decide` needs no clock.

    `at` is the server's to fill: it is marked so in the schema, and the edge refuses it from a client.
    """

    at: AwareDatetime = Field(default_factory=utc_now, json_schema_extra={"server": True})
