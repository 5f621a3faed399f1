"""Access tokens from an OAuth2 or OpenID Connect authority: asked for once, kept until shortly before they expire."""

from asyncio import Lock, timeout
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from math import isnan
from time import time
from urllib.parse import quote_plus, urlencode
from uuid import uuid4

import httpx
import orjson
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed, list_of, map_of, plain, text_of
from infra.calls.exchange import Request, exchange, url_of, without
from infra.calls.resources import digest_of

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_WELL_KNOWN = "/.well-known/openid-configuration"
_TOKEN_PATH = "/oauth2/token"
_EARLY_S = 30.0
_UNSAID_S = 60.0
_KEPT_S_MAX = 86_400.0
_ASSERTION_S = 60


def token_key(policy: Arguments, *, discover: bool) -> str:
    """The key that a policy's token is kept under."""
    return digest_of("token", discover, dict(policy))


async def access_token(policy: Arguments, context: CallContext, secrets: tuple[str, ...], *, discover: bool) -> str:
    """The access token that a policy describes; with `discover` its endpoint is read from the authority's own description.

    CallFailed("authentication") if the authority refuses, is not one of `issuers`, or answers with something else.
    """
    key = token_key(policy, discover=discover)
    # Calls that need the same token wait for the first of them to get it.
    async with context.resources.asking.setdefault(key, Lock()):
        kept = context.resources.tokens.get(key)
        if kept is None:
            kept, lives_s = await _new_token(policy, context, secrets, discover)
            context.resources.tokens.put(key, kept, lives_s)
        return kept


async def _new_token(
    policy: Arguments, context: CallContext, secrets: tuple[str, ...], discover: bool
) -> tuple[str, float]:
    """A token, and for how many seconds it may be kept."""
    try:
        endpoint = await _discovered(policy, context) if discover else _token_endpoint(policy)
        answer = await _ask(endpoint, policy, context, secrets)
    except CallFailed as failed:
        if failed.type == "communication":
            detail = without(secrets, f"No access token was given: {failed.detail}")
            raise CallFailed("authentication", detail) from failed
        failed.in_doubt = False  # what the token is for was not even asked
        raise
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise CallFailed("authentication", "The authority's answer holds no access token.")
    _require_issuer(token, list_of(policy, "issuers"))
    return token, _kept_for_s(answer.get("expires_in"))


def _kept_for_s(expires_in: JsonValue) -> float:
    """What is no number of seconds says nothing; an authority may also claim that its tokens hold for ever."""
    try:
        lives_s = float(plain(expires_in)) if expires_in is not None else _UNSAID_S
    except (ValueError, CallFailed):
        lives_s = _UNSAID_S
    if isnan(lives_s):
        lives_s = _UNSAID_S
    return min(max(0.0, lives_s - min(_EARLY_S, lives_s / 2)), _KEPT_S_MAX)


def _token_endpoint(policy: Arguments) -> httpx.URL:
    """The endpoint below the authority: a path is appended to it (`/realms/one` + `/oauth2/token`), a full URI stands for itself."""
    authority = text_of(policy, "authority")
    path = text_of(map_of(policy, "endpoints"), "token", _TOKEN_PATH)
    if path.startswith(("http://", "https://")):
        return url_of(path)
    return url_of(f"{authority.rstrip('/')}/{path.lstrip('/')}")


async def _discovered(policy: Arguments, context: CallContext) -> httpx.URL:
    authority = text_of(policy, "authority").rstrip("/")
    where = url_of(authority if authority.endswith(_WELL_KNOWN) else authority + _WELL_KNOWN)
    key = digest_of("discovery", str(where))
    found = context.resources.documents.get(key)
    if found is None:
        found = await _object(Request("GET", where, {"Accept": _JSON}, follow_redirects=True), context)
        context.resources.documents.put(key, found, context.settings.document_s_max)
    endpoint = found.get("token_endpoint")
    if not isinstance(endpoint, str):
        raise CallFailed("authentication", "The authority's description names no token endpoint.")
    return url_of(endpoint)


async def _ask(
    endpoint: httpx.URL, policy: Arguments, context: CallContext, secrets: tuple[str, ...]
) -> Mapping[str, JsonValue]:
    fields = _grant_fields(policy)
    headers = {"Accept": _JSON}
    _add_client(map_of(policy, "client"), endpoint, fields, headers)
    encoding = text_of(map_of(policy, "request"), "encoding", _FORM)
    if encoding not in {_FORM, _JSON}:
        raise CallFailed("configuration", f"A token request cannot be encoded as {encoding[:100]!r}.")
    content = urlencode(fields).encode() if encoding == _FORM else orjson.dumps(fields)
    request = Request("POST", endpoint, headers | {"Content-Type": encoding}, content, secrets=secrets)
    answer: Mapping[str, JsonValue] = await _object(request, context)  # type: ignore[assignment]  # it was read from JSON
    return answer


def _grant_fields(policy: Arguments) -> dict[str, str]:
    grant = text_of(policy, "grant")
    fields = {"grant_type": grant}
    if grant == "password":
        fields |= {"username": _given(policy, "username"), "password": _given(policy, "password")}
    elif grant == "refresh_token":
        fields["refresh_token"] = _given(map_of(policy, "subject"), "token")
    elif grant == TOKEN_EXCHANGE:
        for name in ("subject", "actor"):
            token = map_of(policy, name)
            if token or name == "subject":
                fields |= {f"{name}_token": _given(token, "token"), f"{name}_token_type": _given(token, "type")}
    elif grant == "authorization_code":
        raise CallFailed("configuration", "The grant authorization_code needs a person with a browser; a run has none.")
    elif grant != "client_credentials":
        raise CallFailed("configuration", f"The grant {grant[:100]!r} is not known.")
    for name, field in (("scopes", "scope"), ("audiences", "audience")):
        values = list_of(policy, name)
        if values:
            fields[field] = " ".join(map(plain, values))
    return fields


def _add_client(client: Arguments, endpoint: httpx.URL, fields: dict[str, str], headers: dict[str, str]) -> None:
    """Say who asks, in the way that `client.authentication` names (RFC 6749, section 2.3; RFC 7523, section 2.2)."""
    how = text_of(client, "authentication", "client_secret_post")
    if how == "none":
        if "id" in client:
            fields["client_id"] = plain(client["id"])
        return
    name = _given(client, "id")
    if how == "client_secret_post":
        fields |= {"client_id": name, "client_secret": _given(client, "secret")}
    elif how == "client_secret_basic":
        pair = f"{quote_plus(name)}:{quote_plus(_given(client, 'secret'))}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    elif how in {"client_secret_jwt", "private_key_jwt"}:
        signed = how == "client_secret_jwt" and "assertion" not in client
        assertion = _signed(name, _given(client, "secret"), endpoint) if signed else _given(client, "assertion")
        fields |= {"client_id": name, "client_assertion_type": _JWT_BEARER, "client_assertion": assertion}
    else:
        raise CallFailed("configuration", f"The client authentication {how[:100]!r} is not known.")


def _signed(name: str, secret: str, endpoint: httpx.URL) -> str:
    now = int(time())
    claims: dict[str, object] = {"iss": name, "sub": name, "aud": str(endpoint), "jti": str(uuid4())}
    try:
        return jwt.encode({"alg": "HS256"}, claims | {"iat": now, "exp": now + _ASSERTION_S}, OctKey.import_key(secret))
    except ValueError as unfit:
        raise CallFailed("configuration", "The client secret cannot sign a JWT.") from unfit


def _given(credentials: Arguments, name: str) -> str:
    if credentials.get(name) is None:
        raise CallFailed("configuration", f"The authentication policy has no {name!r}.")
    return plain(credentials[name])


async def _object(request: Request, context: CallContext) -> dict[str, object]:
    try:
        # A call that takes messages without an end has no other bound.
        async with timeout(context.settings.call_s_max), exchange(request, context) as answer:
            if not 200 <= answer.status < 300:
                raise await answer.failure()
            found = orjson.loads(await answer.body())
    except orjson.JSONDecodeError:
        found = None
    except TimeoutError as late:
        raise CallFailed("timeout", f"{request.shown} took too long.") from late
    if not isinstance(found, dict):
        raise CallFailed("authentication", f"{request.shown} did not answer with a JSON object.")
    return found


def _require_issuer(token: str, issuers: list[JsonValue]) -> None:
    """Refuse a JWT of another issuer. Its signature is for the service that gets it to check; an opaque token names no issuer."""
    if not issuers or token.count(".") != 2:
        return
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return
    if not isinstance(claims, dict) or claims.get("iss") not in issuers:
        raise CallFailed("authentication", "The access token is of an issuer that the policy does not name.")
