"""The five ways to authenticate a call: basic, bearer, digest, OAuth2 and OpenID Connect."""

from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial

import httpx
from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed, map_of, plain
from infra.calls.tokens import access_token, token_key

_SECRET_NAMES = {"password", "token", "secret", "assertion"}


@dataclass(frozen=True, slots=True)
class Authorization:
    """How a call is authorised: what `$authorization` shows, and what httpx does with it.

    `secrets` are kept out of every error; `forget` drops what was kept for it, once the other side has refused it.
    """

    scheme: str
    parameter: str
    auth: httpx.Auth
    secrets: tuple[str, ...]
    forget: Callable[[], None] | None = None


class _Header(httpx.Auth):
    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._value
        yield request


class _Digest(httpx.DigestAuth):
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            yield from super().auth_flow(request)
        except (KeyError, NotImplementedError, httpx.ProtocolError):
            detail = (
                "The other side asks for a digest of a kind that is not known here, or in a way that cannot be read."
            )
            raise CallFailed("authentication", detail, answered=True) from None


async def authorize(policy: Arguments | None, context: CallContext) -> Authorization | None:
    """Make the authorization that a policy describes, with a token from its authority if it needs one; None without a policy.

    With digest the parameter is empty: it depends on the challenge. CallFailed: authentication if no token was given, configuration
    if the policy is incomplete.
    """
    if not policy:
        return None
    secrets = tuple(_secrets(dict(policy)))
    if "basic" in policy or "digest" in policy:
        scheme = "basic" if "basic" in policy else "digest"
        credentials = map_of(policy, scheme)
        username, password = _needed(credentials, "username"), _needed(credentials, "password")
        if scheme == "digest":
            return Authorization("Digest", "", _Digest(username, password), secrets)
        parameter = b64encode(f"{username}:{password}".encode()).decode()
        return _of_header("Basic", parameter, secrets)
    if "bearer" in policy:
        return _of_header("Bearer", _needed(map_of(policy, "bearer"), "token"), secrets)
    for scheme in ("oauth2", "oidc"):
        if scheme in policy:
            described, discover = map_of(policy, scheme), scheme == "oidc"
            token = await access_token(described, context, secrets, discover=discover)
            forget = partial(context.resources.tokens.drop, token_key(described, discover=discover))
            return replace(_of_header("Bearer", token, secrets), forget=forget)
    raise CallFailed("configuration", "The authentication policy names no scheme that is known.")


def _of_header(scheme: str, parameter: str, secrets: tuple[str, ...]) -> Authorization:
    return Authorization(scheme, parameter, _Header(f"{scheme} {parameter}"), (*secrets, parameter))


def _needed(credentials: Arguments, name: str) -> str:
    if credentials.get(name) is None:
        raise CallFailed("configuration", f"The authentication policy has no {name!r}.")
    return plain(credentials[name])


def _secrets(value: JsonValue) -> Generator[str, None, None]:
    """Whatever in a policy must not be shown."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in _SECRET_NAMES and isinstance(inner, str | int | float):
                yield plain(inner)
            elif name != "endpoints":  # `token` is a path there
                yield from _secrets(inner)
