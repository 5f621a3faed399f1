"""Where a gRPC service is, and whether it is spoken to with TLS."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from infra.calls.addresses import is_public, resolve
from infra.calls.contract import Arguments, CallContext, CallFailed, text_of

_PORT_OF_TLS = 443
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PLAIN, _TLS = "grpc", "grpcs"


@dataclass(frozen=True, slots=True)
class Place:
    """The addresses to connect to, which may be reached; `authority` is who is asked for and, with TLS, whom the certificate names."""

    addresses: tuple[str, ...]
    port: int
    tls: bool
    authority: str
    shown: str


async def find_place(service: Arguments, context: CallContext) -> Place:
    """Where a call's `service` is: where the operator sends what is meant for it, or at addresses that are allowed.

    The operator's `grpc://host:port` is plain text, `grpcs://host:port` is TLS. Otherwise it is TLS on port 443, which is the default,
    and wherever an address is public; in networks that the operator has allowed it is plain text.
    CallFailed: authorization if it may not be reached, communication if it has no address, configuration if this is no host or port.
    """
    host, port = text_of(service, "host"), service.get("port", _PORT_OF_TLS)
    if not _HOST.fullmatch(host):
        raise CallFailed("configuration", f"{host[:200]!r} is not the name of a host.")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
        raise CallFailed("configuration", "The service's port is none from 1 to 65535.")
    shown = f"{host}:{port}"
    for meant, target in context.settings.origins.items():
        old, new = urlsplit(meant), urlsplit(target)
        if old.scheme in {_PLAIN, _TLS} and (old.hostname, old.port or _PORT_OF_TLS) == (host.lower(), port):
            return await _mapped(new.hostname or "", new.port or _PORT_OF_TLS, new.scheme == _TLS, shown)
    addresses = await context.resources.addresses.allowed(host, port)
    tls = port == _PORT_OF_TLS or any(is_public(ip_address(address)) for address in addresses)
    return Place(tuple(addresses), port, tls, shown, shown)


async def _mapped(host: str, port: int, tls: bool, shown: str) -> Place:
    try:
        addresses = await resolve(host, port)
    except OSError as unknown:
        raise CallFailed("communication", f"The host {host[:200]!r} has no address.") from unknown
    # A certificate that does not fit who is asked for is refused by gRPC.
    return Place(tuple(addresses), port, tls, f"{host}:{port}" if tls else shown, shown)
