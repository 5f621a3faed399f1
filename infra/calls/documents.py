"""The documents that calls refer to (OpenAPI, AsyncAPI, proto, agent cards, scripts): fetched like anything else, kept for a while."""

import asyncio

from infra.adapters.document_text import parse_document
from infra.adapters.problem import BodyTooLarge, Malformed
from infra.calls.authentication import authorize
from infra.calls.contract import Arguments, CallContext, CallFailed, endpoint_of
from infra.calls.exchange import Request, exchange, url_of
from infra.calls.resources import digest_of

# A `file` is never read from this machine: it is fetched from where the operator says that its origin is.
_SCHEMES = ("http", "https", "file")
_ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.5"


async def fetch_document(resource: Arguments, context: CallContext) -> dict[str, object]:
    """The object that an external resource describes, from JSON or YAML; kept `document_s_max`, for those with the same credentials.

    CallFailed: as any exchange, and configuration if it is no object.
    """
    key = digest_of("document", resource.get("endpoint"))
    kept = context.resources.documents.get(key)
    if kept is not None:
        return kept
    text, _ = await _fetch(resource, context)
    try:
        # Servers name all kinds of types; every JSON document that is in use is YAML, but the reader of JSON is much faster.
        kind = "application/json" if text.lstrip()[:1] == b"{" else "application/yaml"
        found = await asyncio.to_thread(
            parse_document, text, kind
        )  # a long one takes a second, in which others' calls go on
    except (Malformed, BodyTooLarge) as wrong:
        raise CallFailed("configuration", f"The document cannot be read: {wrong}") from wrong
    if not isinstance(found, dict):
        raise CallFailed("configuration", "The document is no object.")
    context.resources.documents.put(key, found, context.settings.document_s_max)
    return found


async def fetch_text(resource: Arguments, context: CallContext) -> str:
    """The text that an external resource describes, as UTF-8; never kept."""
    text, shown = await _fetch(resource, context)
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise CallFailed("configuration", f"{shown} is no text in UTF-8.") from wrong


async def _fetch(resource: Arguments, context: CallContext) -> tuple[bytes, str]:
    uri, policy = endpoint_of(resource.get("endpoint"))
    authorization = await authorize(policy, context)
    url = url_of(uri, _SCHEMES)
    auth, secrets = (authorization.auth, authorization.secrets) if authorization else (None, ())
    forget = authorization.forget if authorization else None
    headers = {"Accept": _ACCEPT}
    request = Request("GET", url, headers, auth=auth, secrets=secrets, follow_redirects=True, on_refused=forget)
    try:
        # A call that takes messages without an end has no other bound.
        async with asyncio.timeout(context.settings.call_s_max), exchange(request, context) as answer:
            if not 200 <= answer.status < 300:
                raise await answer.failure()
            return await answer.body(), request.shown
    except TimeoutError as late:
        raise CallFailed("timeout", f"{request.shown} took too long.") from late
    except CallFailed as failed:
        failed.in_doubt = False  # what the document is for was not even asked
        raise
