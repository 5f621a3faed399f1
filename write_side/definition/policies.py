"""What a policy for asking for tokens must have, and the grants that a run cannot be given."""

from collections.abc import Iterator

from write_side.definition.authentication import OAuth2Client, OpenIdConnect
from write_side.definition.values import below

Place = tuple[str, str]
"""A JSON pointer, and what is wrong there."""

_NEEDED = {
    "password": ("username", "password"),
    "refresh_token": ("subject",),
    "urn:ietf:params:oauth:grant-type:token-exchange": ("subject",),
}
"""The fields that each grant needs."""
_SECRETS = {"client_secret_post": ("secret",), "client_secret_basic": ("secret",), "private_key_jwt": ("assertion",)}
"""How a client that proves who it is in this way does so."""


def check_policy(pointer: str, policy: OpenIdConnect) -> Iterator[Place]:
    """What is wrong with a policy of OAuth 2 or OpenID Connect (reference: OAUTH2 Authentication, OpenIdConnect Authentication)."""
    if policy.grant == "authorization_code":
        yield below(pointer, "grant"), "is not supported: it needs a person with a browser, and a run has none"
    for name in _NEEDED.get(policy.grant, ()):
        if getattr(policy, name) is None:
            yield below(pointer, name), f"must be there, since the grant is {policy.grant}"
    yield from _of_client(below(pointer, "client"), policy.client or OAuth2Client())


def _of_client(pointer: str, client: OAuth2Client) -> Iterator[Place]:
    if client.authentication == "none":
        return
    for name in ("id", *_SECRETS.get(client.authentication, ())):
        if getattr(client, name) is None:
            yield below(pointer, name), f"must be there, since the client's authentication is {client.authentication}"
    if client.authentication == "client_secret_jwt" and client.secret is None and client.assertion is None:
        yield pointer, "must have a secret to sign an assertion with, or an assertion"
