"""What a call is given where it is carried out: with the secrets that no event holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from events.run_parts import CallAwaited, DocumentsAwaited, ProcessAwaited
from infra.expressions.template import mentioned
from write_side.definition.tasks import CallAsyncApi
from write_side.interpreter.asked import NOWHERE, WITHIN, addressed, arguments, places_of, seals_input
from write_side.interpreter.changed import replace
from write_side.interpreter.documents import is_fetched, resources
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.plan import AUTHENTICATION, SECRETS
from write_side.interpreter.scope import Run, filled, formed, holds
from write_side.interpreter.state import Node, RunState

SCHEMES = ("basic", "bearer", "digest", "oauth2", "oidc")


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What to call with what; `function` is None for a process."""

    function: str | None
    arguments: dict[str, JsonValue]


def awaited_call(state: RunState, task: int) -> CallAwaited | ProcessAwaited | DocumentsAwaited | None:
    """The call, process or documents that a task of a run waits for; None if it does not, or not any more."""
    node = state.nodes.get(task)
    if node is None or not (node.phase == "awaiting" or takes_more(node)):
        return None
    return node.awaits if isinstance(node.awaits, CallAwaited | ProcessAwaited | DocumentsAwaited) else None


def takes_more(node: Node) -> bool:
    """Whether a call does something with each message of its own and has not heard that there are no more."""
    return bool(node.consumed) and not node.closed and node.phase in ("ready", "blocked")


def secrets_of(run: Run) -> tuple[str, ...]:
    """The names of the secrets that a definition asks for."""
    return run.plan.definition.use.secrets


def unsealed(run: Run, task: int, secrets: Mapping[str, JsonValue]) -> Unsealed:
    """What a task's call is given. Raises Raised."""
    node = run.state.nodes[task]
    awaits = node.awaits
    assert isinstance(awaits, CallAwaited | ProcessAwaited)
    planned = run.plan.tasks[node.reference]
    if not planned.sealed:
        return Unsealed(awaits.function if isinstance(awaits, CallAwaited) else None, awaits.arguments)
    # What others wrote has none of the secrets, whatever it asks for.
    secrets = {} if is_fetched(run, node) else secrets
    known: dict[str, JsonValue] = {SECRETS: dict(secrets)}
    _require_secrets(run, node, planned.words, secrets)
    function = awaits.function if isinstance(awaits, CallAwaited) else None
    given, places, taken = awaits.arguments, places_of(function), planned.task.input
    sealed = seals_input(planned.task)
    if taken is not None and sealed:
        node = replace(node, input=formed(run, node, taken.from_, node.raw, known))
        given = node.input if isinstance(node.input, dict) else {}
    template = planned.words.get("run" if function is None else "with")
    if isinstance(template, dict):
        template = addressed(node, {name: value for name, value in template.items() if name != "await"}, places)
        given = arguments(run, node, template, places, known) if sealed else given
    found = _merged(run, node, template, given, known, places)
    assert isinstance(found, dict)
    return Unsealed(function, found)


def documents_asked_for(run: Run, task: int, secrets: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """The external resources that a task is to fetch, by their addresses, each with the policy by which it is asked for. Raises Raised."""
    node = run.state.nodes[task]
    secrets = {} if is_fetched(run, node) else secrets
    found: dict[str, dict[str, JsonValue]] = {}
    for resource in resources(run, node):
        endpoint: dict[str, JsonValue] = {"uri": resource.address}
        if resource.authentication is not None:
            known: dict[str, JsonValue] = {SECRETS: dict(secrets)}
            endpoint[AUTHENTICATION] = _authentication(run, node, resource.authentication, known)
        found[resource.address] = {"endpoint": endpoint}
    return found


def _require_secrets(run: Run, node: Node, words: JsonValue, secrets: Mapping[str, JsonValue]) -> None:
    for name in run.plan.definition.use.secrets:
        if name not in secrets and _names(words, name):
            raise Raised(standard("authorization", f"there is no secret called {name!r}", node.reference))


def _merged(
    run: Run,
    node: Node,
    template: JsonValue,
    given: JsonValue,
    known: Mapping[str, JsonValue],
    places: Collection[str] = NOWHERE,
) -> JsonValue:
    """What was evaluated before stays, wherever it came from; only what its author wrote is evaluated now."""
    if isinstance(template, dict) and isinstance(given, dict):
        return {
            name: _authentication(run, node, template[name], known)
            if places and name == AUTHENTICATION
            else _merged(run, node, template[name], value, known, WITHIN if name in places else NOWHERE)
            if name in template
            else value
            for name, value in given.items()
        }
    if isinstance(template, list) and isinstance(given, list) and len(template) == len(given):
        return [_merged(run, node, one, value, known) for one, value in zip(template, given, strict=True)]
    return filled(run, node, template, node.input, known) if mentioned(template, SECRETS) else given


def _authentication(run: Run, node: Node, template: JsonValue, known: Mapping[str, JsonValue]) -> JsonValue:
    """A policy with its name and its secrets replaced by what they stand for."""
    uses = run.plan.document.get("use")
    policies = uses.get("authentications") if isinstance(uses, dict) else None
    if isinstance(template, dict) and isinstance(template.get("use"), str) and isinstance(policies, dict):
        template = policies[str(template["use"])]
    if not isinstance(template, dict):
        return template
    secrets = known[SECRETS]
    assert isinstance(secrets, dict)
    _require_secrets(run, node, template, secrets)
    return {name: _scheme(run, node, value, known) for name, value in template.items() if name in SCHEMES}


def _scheme(run: Run, node: Node, template: JsonValue, known: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(template, dict) and isinstance(template.get("use"), str):
        secrets = known[SECRETS]
        name = str(template["use"])
        if not isinstance(secrets, dict) or name not in secrets:
            raise Raised(standard("authorization", f"there is no secret called {name!r}", node.reference))
        return secrets[name]
    return filled(run, node, _with_addresses(node, template), node.input, known)


def _with_addresses(node: Node, scheme: JsonValue) -> JsonValue:
    """A scheme with the variables of its authority and of that one's endpoints replaced."""
    if not isinstance(scheme, dict):
        return scheme
    found = addressed(node, scheme, ("authority",))
    endpoints = found.get("endpoints")
    return {**found, "endpoints": addressed(node, endpoints, endpoints)} if isinstance(endpoints, dict) else found


@dataclass(frozen=True, slots=True)
class Conditions:
    """Those of a subscription: which messages count, and whether to wait for more."""

    run: Run
    task: int
    filter: str | None = None
    while_: str | None = None
    until: str | None = None
    foreach: bool = False

    def keep(self, message: JsonValue) -> bool:
        """Whether a message counts. Raises Raised."""
        return self.filter is None or holds(self.run, self.run.state.nodes[self.task], self.filter, message)

    def go_on(self, messages: list[JsonValue]) -> bool:
        """Whether to wait for more; the messages so far are the value, and `$context.consumedMessages` unless that is the run's own.

        Raises Raised.
        """
        node, context = self.run.state.nodes[self.task], self.run.state.context
        known = {"context": {"consumedMessages": messages, **(context if isinstance(context, dict) else {})}}
        if self.while_ is not None:
            return holds(self.run, node, self.while_, messages, known)
        return self.until is None or not messages or not holds(self.run, node, self.until, messages, known)


def conditions_of(run: Run, task: int) -> Conditions:
    """The conditions of a task's subscription; none if it has none."""
    found = run.plan.tasks[run.state.nodes[task].reference].task
    if not isinstance(found, CallAsyncApi) or found.with_.subscription is None:
        return Conditions(run, task)
    subscription = found.with_.subscription
    consume, foreach = subscription.consume, subscription.foreach is not None
    return Conditions(run, task, subscription.filter, consume.while_, consume.until, foreach)


def _names(words: JsonValue, secret: str) -> bool:
    """Whether an expression of a task speaks of a secret."""
    if isinstance(words, dict):
        return any(_names(each, secret) for each in words.values())
    if isinstance(words, list):
        return any(_names(each, secret) for each in words)
    return isinstance(words, str) and mentioned(words, SECRETS, loose=True) and secret in words
