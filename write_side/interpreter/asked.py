"""What a call or a process is given: addresses with their variables replaced, all evaluated but credentials and secrets; and containers."""

from collections.abc import Collection, Mapping

from pydantic import JsonValue

from infra.expressions.failure import ExpressionFailed
from infra.expressions.template import mentioned
from infra.expressions.uri_template import expand
from write_side.definition.tasks import CALLS, TaskBase
from write_side.definition.values import JsonObject
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.plan import AUTHENTICATION, SECRETS
from write_side.interpreter.scope import Run, filled
from write_side.interpreter.state import Node

PLACES = frozenset({"agentCard", "document", "endpoint", "proto", "script", "server", "service", "transport"})
"""The arguments of the language that are addresses, or hold some, each maybe with credentials."""
WITHIN = frozenset({"endpoint", "http", "source", "uri"})
"""What leads on to an address in one of PLACES."""
NOWHERE: frozenset[str] = frozenset()
SUBSCRIPTION, FOREACH = "subscription", "foreach"
_CONTAINER: JsonObject = {"cpu_milli": 1_000, "memory_mib": 1_024}
"""What a container needs of a node if its task says nothing in `metadata.requirements`."""
_BY_DEFAULT: JsonObject = {"pullPolicy": "ifNotPresent", "lifetime": {"cleanup": "never"}}


def places_of(function: str | None) -> Collection[str]:
    """Which arguments of a call or, without a function, of a process hold addresses; those of a function by its name are only data."""
    return PLACES if function is None or function in CALLS else NOWHERE


def seals_input(task: TaskBase) -> bool:
    """Whether a task's input is formed where its call is carried out: what is secret is in no event."""
    return task.input is not None and mentioned(task.input.from_, SECRETS, loose=True)


def addressed(node: Node, template: JsonObject, places: Collection[str]) -> JsonObject:
    """What a call's author wrote, with the variables of its addresses replaced (the reference's URI Template).

    Done before anything is evaluated: what an expression yields comes from data, and stays as it is. Raises Raised.
    """
    return {name: _expanded(node, value) if name in places else value for name, value in template.items()}


def _expanded(node: Node, value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return addressed(node, value, WITHIN)
    if not isinstance(value, str) or "${" in value:
        return value
    try:
        return expand(value, node.input)
    except ExpressionFailed as failed:
        raise Raised(standard("expression", str(failed), node.reference)) from None


def arguments(
    run: Run,
    node: Node,
    template: JsonObject,
    places: Collection[str] = NOWHERE,
    secrets: Mapping[str, JsonValue] | None = None,
) -> JsonObject:
    """A template filled, but for credentials and conditions on messages; without `secrets` also but for what these go into.

    What is left stays as its author wrote it. Raises Raised.
    """
    return {name: _argument(run, node, name, value, places, secrets) for name, value in template.items()}


def _argument(
    run: Run,
    node: Node,
    name: str,
    template: JsonValue,
    places: Collection[str],
    secrets: Mapping[str, JsonValue] | None,
) -> JsonValue:
    if places and name == AUTHENTICATION:
        return template
    if places and name == SUBSCRIPTION:
        return _subscription(run, node, template, secrets)
    if isinstance(template, dict):
        return arguments(run, node, template, WITHIN if name in places else NOWHERE, secrets)
    if isinstance(template, list):
        return [_argument(run, node, "", value, NOWHERE, secrets) for value in template]
    if secrets is None and mentioned(template, SECRETS):
        return template
    return filled(run, node, template, node.input, secrets)


def _subscription(run: Run, node: Node, template: JsonValue, secrets: Mapping[str, JsonValue] | None) -> JsonValue:
    """How long to listen is known beforehand; the conditions are for each message, and what is done with it is the run's to do."""
    if not isinstance(template, dict):
        return template
    found = {name: value for name, value in template.items() if name != FOREACH}
    consume = found.get("consume")
    if isinstance(consume, dict) and "for" in consume:
        found["consume"] = {**consume, "for": _argument(run, node, "for", consume["for"], NOWHERE, secrets)}
    return found


def container_request(given: JsonObject, requirements: JsonValue) -> JsonObject:
    """The job that runs a container: nothing that the reference has a default for is left to whoever does it."""
    container = given["container"]
    assert isinstance(container, dict)
    payload: JsonObject = {"return": "stdout", **given, "container": {**_BY_DEFAULT, **container}}
    return {
        "kind": "container",
        "requirements": _CONTAINER if requirements is None else requirements,
        "payload": payload,
    }
