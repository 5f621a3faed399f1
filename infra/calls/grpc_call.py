"""`call: grpc`: one method of a gRPC service, as a proto document describes it. Needs the optional extra `grpc`.

What the extra installs is loaded by the first call, in the process that makes it, and by nobody else.
"""

import asyncio
import os
from importlib import import_module

from pydantic import JsonValue

from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, map_of, text_of
from infra.calls.grpc_place import find_place
from infra.calls.proto_document import fetch_proto
from infra.functions import has_extra

_KEY = "idempotency-key"


async def grpc_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: grpc`: the answer, or the list of all answers of a method that streams them.

    Arguments and answers are ProtoJSON (https://protobuf.dev/programming-guides/json): names in lowerCamelCase or as `json_name` says
    (arguments may also be named as in the document), 64-bit integers as text, bytes in base64; what has its default is left out.
    Every request carries the metadata `idempotency-key: <context.key>`, and `authorization` if there is a policy.

    CallFailed: communication with the HTTP status that fits the gRPC status, 503 if nobody could be reached; validation for arguments
    that do not fit; configuration for an unknown method, one that streams its requests, or without the extra; timeout; authorization;
    authentication.
    """
    if not has_extra("grpc"):
        raise CallFailed("configuration", "gRPC needs an extra that is not installed here: foldwork[grpc].")
    service, method_name = map_of(arguments, "service"), text_of(arguments, "method")
    service_name, given = text_of(service, "name"), map_of(arguments, "arguments")
    policy = map_of(service, "authentication")
    if "digest" in policy:
        raise CallFailed("configuration", "gRPC does not know the authentication 'digest'.")
    await asyncio.to_thread(_load)
    from infra.calls.grpc_exchange import exchange
    from infra.calls.proto_messages import find_method, read, written

    pool = await fetch_proto(map_of(arguments, "proto"), context)
    method = find_method(pool, service_name, method_name)
    # A hundred thousand fields take a second, in which others have their turn.
    request = await asyncio.to_thread(written, pool, method, given, context.settings.request_bytes_max)
    place = await find_place(service, context)
    metadata = {_KEY: context.key}
    authorization = await authorize(policy, context)
    if authorization:
        metadata["authorization"] = f"{authorization.scheme} {authorization.parameter}"
    answers = await exchange(place, method, request, metadata, authorization, context)
    try:
        return await asyncio.to_thread(read, pool, method, answers, context.settings.response_bytes_max)
    except CallFailed as unusable:
        unusable.in_doubt = True
        raise


def _load() -> None:
    """Takes a good tenth of a second the first time."""
    # Its C core writes to standard error, where our own lines are JSON; and it stops the world at each fork, for children that go on to
    # speak gRPC: ours do not.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    for module in ("infra.calls.grpc_exchange", "infra.calls.proto_messages"):
        import_module(module)
