"""What the language allows and this runtime does not do: refused when a workflow is registered, so that no run goes wrong for it."""

import re
from collections.abc import Collection, Iterator

from pydantic import JsonValue

from write_side.definition.authentication import Authentication, OpenIdConnect, ReusableAuthentication
from write_side.definition.calls import (
    A2aArguments,
    AsyncApiArguments,
    GrpcService,
    HttpArguments,
    McpTransport,
)
from write_side.definition.document import Definition
from write_side.definition.elsewhere import is_name_and_version, unfit, uri_of
from write_side.definition.errors import Backoff, ErrorFilter
from write_side.definition.events import EventConsumption, EventProperties
from write_side.definition.policies import check_policy
from write_side.definition.references import CATALOG_OF_THE_RUNTIME, Place
from write_side.definition.resources import Catalog, DataSchema, Endpoint
from write_side.definition.runs import Run, Script, Subflow
from write_side.definition.tasks import CallFunction, CallGrpc, ForkTask, TaskBase
from write_side.definition.values import OpenPart, Part, below, is_expression, json_name
from write_side.definition.walk import parts, tasks

LANGUAGE = "jq"
PROTOCOLS = ("nats", "ws")
"""The protocols in which messages are published and taken."""
DIGESTS = "ws"
"""The one whose connections begin with a request over HTTP."""
SCRIPT_LANGUAGES = ("javascript", "js", "python")
LATEST = "latest"
DIRECTIVES_OF_BRANCHES = ("continue", "exit", "end")
COMPENSATE = "compensate"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check_supported(definition: Definition, functions: Collection[str] = ()) -> list[dict[str, str]]:
    """What of a definition would be ignored or done otherwise than it says, as objects of a `pointer` (RFC 6901) and a `detail`.

    `functions` are those that can be called without being declared; of the language's own, those that need an extra are among them
    if it is installed.
    """
    found = [*_of_evaluation(definition), *_of_parts(definition, functions), *_of_tasks(definition)]
    return [{"pointer": pointer, "detail": detail} for pointer, detail in found]


def _of_evaluation(definition: Definition) -> Iterator[Place]:
    if definition.evaluate.language != LANGUAGE:
        yield "/evaluate/language", f"must be {LANGUAGE}: expressions in other languages are not understood here"


def _of_parts(definition: Definition, functions: Collection[str]) -> Iterator[Place]:
    for pointer, part in parts(definition):
        if isinstance(part, str):
            continue
        if isinstance(part, OpenPart) and not isinstance(part, EventProperties):
            for name in part.model_extra or {}:
                yield below(pointer, name), "there is no such field: it would be ignored"
        yield from _of_part(pointer, part, definition, functions)


def _of_part(pointer: str, part: Part, definition: Definition, functions: Collection[str]) -> Iterator[Place]:
    match part:
        case DataSchema():
            yield from _of_schema(pointer, part)
        case ErrorFilter():
            yield from _of_filter(pointer, part)
        case Backoff():
            for name in ("constant", "exponential", "linear"):
                if getattr(part, name):
                    yield below(pointer, name), "must be an empty object: there is nothing to say about it"
        case EventConsumption(until=EventConsumption(all=until)) if until is not None and len(until) > 1:
            yield below(pointer, "until", "all"), "is not supported: one of several events would end it, say `any`"
        case Script(language=language) if language.lower() not in SCRIPT_LANGUAGES:
            yield below(pointer, "language"), f"must be one of {', '.join(SCRIPT_LANGUAGES)}"
        case Run():
            yield from _of_run(pointer, part)
        case Subflow():
            yield from _of_subflow(pointer, part)
        case CallFunction(call=call) if call not in definition.use.functions:
            yield from _of_call(below(pointer, "call"), call, definition, functions)
        case Catalog(endpoint=endpoint):
            yield from _of_address(below(pointer, "endpoint"), endpoint)
        case CallGrpc(call=call) if call not in functions:
            yield below(pointer, "call"), f"needs an extra that is not installed here: foldwork[{call}]"
        case HttpArguments(method=method) if is_expression(method):
            yield below(pointer, "method"), "must be a method, no expression"
        case A2aArguments(agent_card=None, server=None):
            yield below(pointer, "server"), "must be there, or an agentCard: else nobody knows whom to call"
        case McpTransport(options=options) if options:
            yield below(pointer, "options"), "is not supported: neither transport has any"
        case AsyncApiArguments():
            yield from _of_asyncapi(pointer, part, definition)
        case GrpcService(authentication=authentication):
            yield from _of_digest(pointer, authentication, definition)
        case OpenIdConnect():
            yield from check_policy(pointer, part)
        case _:
            pass


def _of_schema(pointer: str, schema: DataSchema) -> Iterator[Place]:
    if schema.resource is not None:
        yield from _of_address(below(pointer, "resource", "endpoint"), schema.resource.endpoint)
    if schema.format.partition(":")[0] != "json":
        yield below(pointer, "format"), "must be json"


def _of_filter(pointer: str, errors: ErrorFilter) -> Iterator[Place]:
    for name in errors.model_fields_set:
        value = getattr(errors, name, None)
        if isinstance(value, str) and is_expression(value):
            yield below(pointer, json_name(name)), "must be a constant, no expression: say it in `when`"


def _of_run(pointer: str, run: Run) -> Iterator[Place]:
    if run.container is not None and not run.await_:
        yield below(pointer, "await"), "must be true: a container is always waited for"
    if run.workflow is not None and run.given("return_"):
        yield below(pointer, "return"), "is only for processes: a workflow has one output"


def _of_subflow(pointer: str, subflow: Subflow) -> Iterator[Place]:
    for name in ("namespace", "name"):
        if not _NAME.fullmatch(getattr(subflow, name)):
            yield below(pointer, name), "must be the name of a workflow, no expression"
    if subflow.version != LATEST and not subflow.version[:1].isdigit():
        yield below(pointer, "version"), f"must be a version or {LATEST}"


def _of_address(pointer: str, endpoint: Endpoint) -> Iterator[Place]:
    wrong = unfit(uri_of(endpoint))
    if wrong is not None:
        yield pointer if isinstance(endpoint, str) else below(pointer, "uri"), wrong


def _of_asyncapi(pointer: str, call: AsyncApiArguments, definition: Definition) -> Iterator[Place]:
    if call.server is None and call.protocol not in (None, *PROTOCOLS):
        yield below(pointer, "protocol"), f"must be one of {', '.join(PROTOCOLS)}: others are not spoken here"
    if call.protocol != DIGESTS:
        yield from _of_digest(pointer, call.authentication, definition)


def _of_digest(pointer: str, authentication: Authentication | None, definition: Definition) -> Iterator[Place]:
    policy: Authentication | ReusableAuthentication | None = authentication
    if authentication is not None and authentication.use is not None:
        policy = definition.use.authentications.get(authentication.use)
    if policy is not None and policy.digest is not None:
        yield below(pointer, "authentication"), "must be of another scheme: digest is only for HTTP"


def _of_call(pointer: str, call: str, definition: Definition, functions: Collection[str]) -> Iterator[Place]:
    name, at, catalog = call.rpartition("@")
    ours = catalog == CATALOG_OF_THE_RUNTIME and CATALOG_OF_THE_RUNTIME not in definition.use.catalogs
    if call in functions or (at and ours and name in functions):
        return
    if "://" in call:
        wrong = unfit(call)
        if wrong is not None:
            yield pointer, wrong
    elif at and catalog in definition.use.catalogs:
        if not is_name_and_version(name):
            yield pointer, "must be a name and a version in a catalog, like name:1.0.0@catalog"
    elif at and ours:
        yield pointer, f"there is no function {name!r} installed here"


def _of_tasks(definition: Definition) -> Iterator[Place]:
    for name, function in definition.use.functions.items():
        if function.then not in (None, "continue"):
            yield below("/use/functions", name, "then"), "leads nowhere: what calls the function says where to go on"
    for pointer, _, task in tasks(definition):
        if isinstance(task, ForkTask):
            yield from _of_branches(below(pointer, "fork", "branches"), task)


def _of_branches(pointer: str, task: ForkTask) -> Iterator[Place]:
    for place, entry in enumerate(task.fork.branches):
        for name, branch in entry.items():
            if branch.then is not None and branch.then not in DIRECTIVES_OF_BRANCHES:
                yield below(pointer, place, name, "then"), "a branch leads to no other branch: all of them are done"


def check_compensation(place: str, task: TaskBase) -> Iterator[dict[str, str]]:
    """What undoes a task is not undone itself: no task of such a list has one of its own."""
    if COMPENSATE in task.metadata:
        yield {"pointer": below(place, "metadata", COMPENSATE), "detail": "what undoes a task is not undone itself"}


def secrets_in(value: JsonValue) -> Iterator[str]:
    """The names of the secrets that a template asks for by name."""
    if isinstance(value, str):
        for found in _SECRET.finditer(value):
            yield found[1] or found[2]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from secrets_in(item)


_SECRET = re.compile(r"""\$secrets\s*(?:\.\s*([A-Za-z_]\w*)|\.?\[\s*"([^"\\]+)"\s*\])""")
