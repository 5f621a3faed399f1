"""One gRPC exchange: a request, and its answers within bounds. Loads grpcio: only for the processes that call gRPC.

Guarantee: the connection is this call's alone, and goes to one of the addresses that it was given, past every proxy and resolver.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from infra.calls.addresses import in_turn
from infra.calls.authentication import Authorization
from infra.calls.contract import CallContext, CallFailed, CallSettings
from infra.calls.exchange import without
from infra.calls.grpc_place import Place

# Those of google/rpc/code.proto.
_STATUS: Mapping[grpc.StatusCode, int] = MappingProxyType(
    {
        grpc.StatusCode.CANCELLED: 499,
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.ALREADY_EXISTS: 409,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.UNAUTHENTICATED: 401,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.FAILED_PRECONDITION: 400,
        grpc.StatusCode.ABORTED: 409,
        grpc.StatusCode.OUT_OF_RANGE: 400,
        grpc.StatusCode.UNIMPLEMENTED: 501,
        grpc.StatusCode.UNAVAILABLE: 503,
    }
)
# What was asked for may have been done before it came to this.
_IN_DOUBT = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "UNKNOWN"})
# Said by our own side, under a status that the other one has as well.
_TOO_LARGE = "message larger than max"
# Whoever waits for the call ends it before.
_DEADLINE_AFTER_S = 1.0


async def exchange(
    place: Place,
    method: MethodDescriptor,
    request: bytes,
    metadata: Mapping[str, str],
    authorization: Authorization | None,
    context: CallContext,
) -> list[bytes]:
    """Send a request and give the messages that come back: one, unless the method streams.

    CallFailed: communication with the HTTP status that fits, timeout if there is no connection in time, configuration for metadata that
    cannot be sent.
    """
    secrets = authorization.secrets if authorization else ()
    if not all(value.isascii() and value.isprintable() for value in metadata.values()):
        raise CallFailed("configuration", "The credentials hold what gRPC cannot carry.")
    settings = context.settings
    channel = await _connected(place, settings)
    try:
        await context.confirm()
        path = f"/{method.containing_service.full_name}/{method.name}"
        sent, seconds = tuple(metadata.items()), settings.call_s_max + _DEADLINE_AFTER_S
        if method.server_streaming:
            streaming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
            return await _collected(streaming(request, timeout=seconds, metadata=sent), settings)
        calling: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return [await calling(request, timeout=seconds, metadata=sent)]
    except grpc.aio.AioRpcError as failed:
        if failed.code() is grpc.StatusCode.UNAUTHENTICATED and authorization and authorization.forget:
            authorization.forget()
        raise _failure(place, failed, secrets, settings) from failed
    finally:
        await channel.close()


async def _collected(answers: "grpc.aio.UnaryStreamCall[bytes, bytes]", settings: CallSettings) -> list[bytes]:
    collected: list[bytes] = []
    size = 0
    async for answer in answers:
        size += len(answer)
        if size > settings.response_bytes_max or len(collected) == settings.messages_max:
            raise CallFailed("communication", "The messages are more than a call can take.", in_doubt=True)
        collected.append(answer)
    return collected


async def _connected(place: Place, settings: CallSettings) -> grpc.aio.Channel:
    """A channel to the first family of addresses that can be reached; one that cannot says why when it is used."""
    families = [
        (version, list(group)) for version, group in groupby(place.addresses, lambda each: ip_address(each).version)
    ]
    try:
        async with asyncio.timeout(settings.connect_s_max):
            for (version, addresses), until in in_turn(families, settings.connect_s_max):
                channel = _channel(place, version, addresses, settings)
                try:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(until):
                            if await _is_ready(channel) or until is None:
                                return channel
                except asyncio.CancelledError:
                    await channel.close()
                    raise
                await channel.close()
    except TimeoutError as late:
        raise CallFailed("timeout", f"No connection to {place.shown} within {settings.connect_s_max:g} s.") from late
    raise CallFailed("communication", f"The host of {place.shown} has no address.", status=503)


async def _is_ready(channel: grpc.aio.Channel) -> bool:
    while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            return False
        await channel.wait_for_state_change(state)
    return True


def _channel(place: Place, version: int, addresses: Sequence[str], settings: CallSettings) -> grpc.aio.Channel:
    family = "ipv4" if version == 4 else "ipv6"
    written = [f"{each}:{place.port}" if version == 4 else f"[{each}]:{place.port}" for each in addresses]
    target = f"{family}:{','.join(written)}"
    options: list[tuple[str, str | int]] = [
        ("grpc.default_authority", place.authority),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", settings.response_bytes_max),
        ("grpc.max_send_message_length", settings.request_bytes_max),
        ("grpc.primary_user_agent", "foldwork"),
        ("grpc.service_config_disable_resolution", 1),
        # Otherwise calls of a process share their connections.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if not place.tls:
        return grpc.aio.insecure_channel(target, options)
    paths = ssl.get_default_verify_paths()
    credentials = grpc.ssl_channel_credentials(_authorities(paths.cafile, paths.capath))
    name = place.authority.rpartition(":")[0]
    return grpc.aio.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", name)])


@cache
def _authorities(file: str | None, folder: str | None) -> bytes | None:
    """Whom this machine trusts, as OpenSSL finds it; None, if it trusts nobody: grpcio comes with a list of its own."""
    if file is not None:
        return Path(file).read_bytes()
    found = sorted(Path(folder).glob("*.[0-9]")) if folder is not None else []
    return b"\n".join(each.read_bytes() for each in found) or None


def _failure(
    place: Place, failed: grpc.aio.AioRpcError, secrets: tuple[str, ...], settings: CallSettings
) -> CallFailed:
    code, said = failed.code(), failed.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in said:
        detail = f"The answer has more than {settings.response_bytes_max} bytes."
        return CallFailed("communication", detail, in_doubt=True)
    spoken = "over TLS" if place.tls else "in plain text"
    detail = without(secrets, f"{place.shown}, spoken to {spoken}, failed with {code.name}: {said}")
    title = code.name.replace("_", " ").capitalize()
    in_doubt = code.name in _IN_DOUBT
    status = _STATUS.get(code, 500)
    return CallFailed("communication", detail, status=status, title=title, in_doubt=in_doubt, answered=not in_doubt)
