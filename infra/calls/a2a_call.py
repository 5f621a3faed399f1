"""`call: a2a`: one JSON-RPC method of an agent that speaks Agent2Agent (https://a2a-protocol.org)."""

from collections.abc import Mapping
from contextlib import aclosing
from uuid import NAMESPACE_URL, uuid5

import httpx
from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed, endpoint_of, map_of, text_of
from infra.calls.documents import fetch_document
from infra.calls.exchange import url_of
from infra.calls.json_rpc import post, request_of, result_of

METHODS = {
    "message/send",
    "message/stream",
    "tasks/get",
    "tasks/list",
    "tasks/cancel",
    "tasks/resubscribe",
    "tasks/pushNotificationConfig/set",
    "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list",
    "tasks/pushNotificationConfig/delete",
    "agent/getAuthenticatedExtendedCard",
}
_SENDING, _STREAMING = {"message/send", "message/stream"}, {"message/stream", "tasks/resubscribe"}


async def a2a_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: a2a`: the JSON-RPC result, of `message/stream` and `tasks/resubscribe` the list of all results.

    A message without `messageId` gets one that stays the same when the call is repeated; its `role` is `user` unless given.
    CallFailed: runtime if the agent answers with an error; the others as `call: http`.
    """
    method = text_of(arguments, "method")
    if method not in METHODS:
        raise CallFailed("configuration", f"The A2A method {method[:100]!r} is not known.")
    uri, policy = await _agent(arguments, context)
    number = str(uuid5(NAMESPACE_URL, f"a2a-request:{context.key}"))
    request = request_of(method, _parameters(method, arguments.get("parameters"), context), number)
    results: list[JsonValue] = []
    async with aclosing(post(url_of(uri), request, {}, policy, context)) as answers:
        async for answer in answers:
            if answer.message is not None:
                results.append(result_of(answer.message, answer.secrets))
                if method not in _STREAMING:
                    return results[0]
    if method not in _STREAMING:
        raise CallFailed("communication", "The agent did not answer.", in_doubt=True)
    return results


async def _agent(arguments: Arguments, context: CallContext) -> tuple[str, Arguments | None]:
    """Where the agent is: the `url` of its card with the card's authentication, or the server itself."""
    resource = map_of(arguments, "agentCard")
    if not resource:
        return endpoint_of(arguments.get("server"))
    card: Mapping[str, JsonValue] = await fetch_document(resource, context)  # type: ignore[assignment]  # it was read from JSON
    source, policy = endpoint_of(resource.get("endpoint"))
    home = url_of(source)
    try:
        agent = home.join(text_of(card, "url"))
    except httpx.InvalidURL as wrong:
        raise CallFailed("configuration", "The agent card's url is none.") from wrong
    # A card may name any place: credentials that were meant for where it came from do not go there.
    same = (agent.scheme, agent.host, agent.port) == (home.scheme, home.host, home.port)
    return str(agent), policy if same else None


def _parameters(method: str, parameters: JsonValue, context: CallContext) -> JsonValue:
    if method not in _SENDING:
        return parameters
    given = parameters if isinstance(parameters, dict) else {}
    message_id = str(uuid5(NAMESPACE_URL, f"a2a-message:{context.key}"))
    return {**given, "message": {"messageId": message_id, "role": "user", **map_of(given, "message")}}
