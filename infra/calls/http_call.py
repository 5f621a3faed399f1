"""`call: http`: one request, and its answer in the form that was asked for."""

import re
from base64 import b64encode
from codecs import lookup
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
import orjson
from pydantic import JsonValue

from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, endpoint_of, map_of, plain, text_of
from infra.calls.exchange import Answer, Request, bare, exchange, url_of, veiled
from infra.calls.resources import digest_of

IDEMPOTENCY_KEY = "Idempotency-Key"
_METHOD = re.compile(r"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]{0,31}")
_METHODS_REFUSED = {"CONNECT", "TRACE"}
_METHODS_WITHOUT_KEY = {"GET", "HEAD", "OPTIONS"}
# The connection is ours, and where it goes was checked: a caller has no say in these.
_HEADERS_REFUSED = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "accept-encoding",
}
_CREDENTIAL_HEADERS = {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"}
_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_TEXT = {
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
    "application/x-ndjson",
    _FORM,
}
# Python knows these as encodings of text as well; no server means them, and the first takes minutes for a megabyte.
_NO_CHARSETS = {"punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape"}
_OUTPUTS = {"raw", "content", "response"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request before it is authenticated. `body` is None if there is none; `policy` is an authentication policy."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: JsonValue
    policy: Arguments | None


async def http_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Carry out `call: http`.

    No redirect is followed. With `redirect: false` (the default) a status outside of 200 to 299 is an error; with `true` 300 to 399
    is none either and that answer itself is the result, its `Location` among the headers of the output `response`. The names of
    the answer's headers are in lower case there.
    Every method but GET, HEAD and OPTIONS carries `Idempotency-Key: <context.key>` unless the caller set one.

    CallFailed: communication with the real status, or 500 if there was no answer; timeout; authorization; authentication; configuration.
    """
    uri, policy = endpoint_of(arguments.get("endpoint"))
    request = HttpRequest(
        method=text_of(arguments, "method"),
        url=url_of(uri),
        headers={name: plain(value) for name, value in map_of(arguments, "headers").items()},
        query=pairs_of(map_of(arguments, "query")),
        body=arguments.get("body"),
        policy=policy,
    )
    return await send_for_output(request, arguments, context)


async def send_for_output(request: HttpRequest, arguments: Arguments, context: CallContext) -> JsonValue:
    """Send a request and give what the arguments' `output` and `redirect` ask for."""
    output = text_of(arguments, "output", "content")
    if output not in _OUTPUTS:
        raise CallFailed("configuration", f"The output {output[:100]!r} is none of {', '.join(sorted(_OUTPUTS))}.")
    accepted = range(200, 400 if arguments.get("redirect") is True else 300)
    async with exchange(await prepared(request, context), context) as answer:
        if answer.status not in accepted:
            raise await answer.failure()
        try:
            body = await answer.body()
            if output == "raw":
                return b64encode(body).decode()
            content = content_of(answer, body)
            return content if output == "content" else _response(answer, content, context.secrets)
        except CallFailed as unusable:
            unusable.in_doubt = True
            raise


async def prepared(request: HttpRequest, context: CallContext) -> Request:
    """The request as it goes out: checked, its body written, its authorization there."""
    method = request.method.upper()
    if not _METHOD.fullmatch(method) or method in _METHODS_REFUSED:
        raise CallFailed("configuration", f"The method {request.method[:40]!r} cannot be called.")
    refused = sorted(name for name in request.headers if name.lower() in _HEADERS_REFUSED)
    if refused:
        raise CallFailed("configuration", f"The header {refused[0]!r} cannot be set by a call.")
    headers = dict(request.headers)
    given = {name.lower() for name in headers}
    if method not in _METHODS_WITHOUT_KEY and IDEMPOTENCY_KEY.lower() not in given:
        headers[IDEMPOTENCY_KEY] = context.key
    content = _written(request.body, headers)
    authorization = await authorize(request.policy, context)
    given_secrets = [value for name, value in headers.items() if name.lower() in _CREDENTIAL_HEADERS]
    # "Bearer abc" holds one secret, "abc".
    words = [value.rpartition(" ")[2] for value in given_secrets]
    secrets = (*given_secrets, *words, request.url.password, *(authorization.secrets if authorization else ()))
    url = request.url
    if request.query:
        url = url.copy_with(params=[*url.params.multi_items(), *request.query])
    auth, forget = (authorization.auth, authorization.forget) if authorization else (None, None)
    return Request(method, url, headers, content, auth, secrets, on_refused=forget)


def pairs_of(query: Arguments) -> tuple[tuple[str, str], ...]:
    """A query's names and values: a list repeats its name, null is left out."""
    found: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list) else [value]
        found.extend((name, plain(each)) for each in values if each is not None)
    return tuple(found)


def _written(body: JsonValue, headers: dict[str, str]) -> bytes | None:
    """The body's bytes: JSON unless the content type says otherwise; sets the content type where it has to."""
    if body is None:
        return None
    name = next((name for name in headers if name.lower() == "content-type"), "Content-Type")
    media_type = headers.setdefault(name, "application/json").partition(";")[0].strip().lower()
    if media_type == _FORM and isinstance(body, dict):
        return urlencode(pairs_of(body)).encode()
    if media_type == _MULTIPART and isinstance(body, dict):
        parts = [(part, (None, value.encode())) for part, value in pairs_of(body)]
        if not parts:
            raise CallFailed("configuration", f"A body of the type {_MULTIPART} needs a part.")
        # A repeated call is the same request to the byte, or who keeps keys would refuse its key.
        headers[name] = f"{_MULTIPART}; boundary={digest_of(pairs_of(body))[:32]}"
        made = httpx.Request("POST", "http://multipart", headers={"Content-Type": headers[name]}, files=parts)
        return made.read()
    if isinstance(body, str) and not is_json(media_type):
        return body.encode()
    return orjson.dumps(body)


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON, or JSON of a special kind (RFC 6839)."""
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def content_of(answer: Answer, body: bytes) -> JsonValue:
    """A body by its content type: JSON as its value, text as text, anything else in base64; None if it is empty."""
    if not body:
        return None
    media_type = answer.media_type
    if is_json(media_type):
        try:
            found: JsonValue = orjson.loads(body)
        except orjson.JSONDecodeError as wrong:
            raise CallFailed("communication", f"{answer.request.shown} answered with broken JSON: {wrong}") from wrong
        return found
    if media_type.startswith("text/") or media_type in _TEXT or media_type.endswith(("+xml", "+yaml")):
        return _text(body, str(answer.headers.get("content-type", "")))
    return b64encode(body).decode()


def _text(body: bytes, content_type: str) -> str:
    found = re.search(r"charset\s*=\s*\"?([\w-]+)", content_type, re.IGNORECASE)
    try:
        charset = lookup(found[1]).name if found else "utf-8"
        if charset not in _NO_CHARSETS:
            return body.decode(charset, errors="replace")
    except (LookupError, UnicodeError):
        pass
    return body.decode(errors="replace")


def _response(answer: Answer, content: JsonValue, secrets: tuple[str, ...]) -> JsonValue:
    sent = answer.sent
    names = {name.decode().lower(): name.decode() for name, _ in sent.headers.raw}
    shown: dict[str, JsonValue] = {
        names[name]: value for name, value in sent.headers.items() if name not in _CREDENTIAL_HEADERS
    }
    received: dict[str, JsonValue] = dict(answer.headers.items())
    return {
        "request": veiled(secrets, {"method": sent.method.lower(), "uri": str(bare(sent.url)), "headers": shown}),
        "statusCode": answer.status,
        "headers": received,
        "content": content,
    }
