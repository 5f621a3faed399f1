"""The way in: carries out a function or a process by its name in the document."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from events.event import JsonAny
from infra.calls import processes
from infra.calls.a2a_call import a2a_call
from infra.calls.asyncapi_call import asyncapi_call
from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, CallSettings, FailureType
from infra.calls.documents import fetch_document
from infra.calls.grpc_call import grpc_call
from infra.calls.http_call import http_call
from infra.calls.mcp_call import mcp_call
from infra.calls.openapi_call import openapi_call
from infra.calls.resources import CallResources, open_resources

__all__ = [
    "FUNCTIONS",
    "CallContext",
    "CallFailed",
    "CallResources",
    "CallSettings",
    "authorization_of",
    "carry_out",
    "fetch_documents",
    "open_resources",
    "run_process",
]

T = TypeVar("T")

Function = Callable[[Arguments, CallContext], Awaitable[JsonValue]]

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "http": http_call,
        "openapi": openapi_call,
        "asyncapi": asyncapi_call,
        "mcp": mcp_call,
        "a2a": a2a_call,
        "grpc": grpc_call,
    }
)


async def carry_out(function: str, arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out one of FUNCTIONS and give its output; raises nothing but CallFailed, CancelledError and what `confirm` raises.

    A call takes at most `call_s_max` seconds, one that subscribes `subscription_s_max` unless it hands over each message.
    """
    called = FUNCTIONS.get(function)
    if called is None:
        raise CallFailed("configuration", f"There is no function {function[:100]!r} to call.")
    settings = context.settings
    subscribes = function == "asyncapi" and arguments.get("subscription") is not None
    # What hands over each message holds nothing: it goes on until whoever takes them has enough.
    endless = subscribes and context.take is not None
    seconds = None if endless else settings.subscription_s_max if subscribes else settings.call_s_max
    return _recordable(await _within(seconds, called(arguments, context)), "communication")


async def run_process(arguments: Arguments, context: CallContext) -> JsonValue:
    """Run `{"shell" or "script": {...}, "return": ...}` as `processes.run_process` says; takes at most `process_s_max` seconds
    beside the time to fetch the script.
    """
    settings = context.settings
    seconds = settings.process_s_max + settings.call_s_max
    return _recordable(await _within(seconds, processes.run_process(arguments, context)), "runtime")


async def fetch_documents(resources: Mapping[str, Arguments], context: CallContext) -> JsonValue:
    """The objects that external resources describe, by the names that they are given; raises nothing but CallFailed.

    Together they take at most `call_s_max` seconds.
    """
    return _recordable(await _within(context.settings.call_s_max, _documents(resources, context)), "configuration")


async def _documents(resources: Mapping[str, Arguments], context: CallContext) -> JsonValue:
    found: dict[str, JsonValue] = {}
    for name, resource in resources.items():
        found[name] = await fetch_document(resource, context)  # type: ignore[assignment]  # what is read is JSON
    return found


async def authorization_of(policy: Arguments | None, context: CallContext) -> tuple[str, str] | None:
    """Scheme and parameter that an authentication policy resolves to (`$authorization`); None without a policy."""
    authorization = await _within(context.settings.call_s_max, authorize(policy, context))
    return (authorization.scheme, authorization.parameter) if authorization else None


@cache
def _recordable_values() -> TypeAdapter[JsonValue]:
    return TypeAdapter(JsonAny)


def _recordable(output: JsonValue, failure: FailureType) -> JsonValue:
    """Refuse an output that no event can hold: with NUL characters, too deep, or with numbers beyond 64 bits."""
    try:
        return _recordable_values().validate_python(output)
    except ValidationError as unfit:
        detail = f"The output cannot be recorded: {unfit.errors(include_input=False)[0]['msg']}"
        raise CallFailed(failure, detail, in_doubt=True) from unfit


async def _within(seconds: float | None, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds) as timer:
            return await call
    except TimeoutError as late:
        within = f" within {seconds:g} s" if timer.expired() else ", since something it needs did not answer in time"
        raise CallFailed("timeout", f"The call did not end{within}.", in_doubt=True) from late
