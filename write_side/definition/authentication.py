"""How a call proves who it is: the five schemes, inline or from a secret, and policies by name."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, model_validator

from write_side.definition.values import TAG_MARK, Maybe, OpenPart, Part, UriTemplate, tag

SCHEMES = ("basic", "bearer", "digest", "oauth2", "oidc")


class SecretReference(Part):
    """What the scheme needs is in the secret of this name."""

    use: Annotated[str, Field(min_length=1)]


class Credentials(Part):
    """A user and a password, for the schemes basic and digest."""

    username: str
    password: str


class BearerToken(Part):
    """A token to be sent as it is."""

    token: str


class OAuth2Client(Part):
    """The client that asks for a token, and how it proves who it is."""

    id: Maybe[str] = None
    secret: Maybe[str] = None
    assertion: Maybe[str] = None
    authentication: Literal[
        "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"
    ] = "client_secret_post"


class OAuth2Request(OpenPart):
    """How the request for a token is written."""

    encoding: Literal["application/x-www-form-urlencoded", "application/json"] = "application/x-www-form-urlencoded"


class OAuth2Token(Part):
    """A token that stands for someone in an exchange of tokens."""

    token: str
    type: str


class OAuth2Endpoints(OpenPart):
    """Where the authority does what, below its address."""

    token: str = "/oauth2/token"
    revocation: str = "/oauth2/revoke"
    introspection: str = "/oauth2/introspect"


class OpenIdConnect(Part):
    """How to get a token from an OpenID Connect provider."""

    authority: UriTemplate
    grant: Literal[
        "authorization_code",
        "client_credentials",
        "password",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    client: Maybe[OAuth2Client] = None
    request: OAuth2Request = OAuth2Request()
    issuers: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    username: Maybe[str] = None
    password: Maybe[str] = None
    subject: Maybe[OAuth2Token] = None
    actor: Maybe[OAuth2Token] = None


class OAuth2(OpenIdConnect):
    """How to get a token from an OAuth 2 authority, whose endpoints may be named."""

    endpoints: OAuth2Endpoints = OAuth2Endpoints()


def _secret_or_own(value: object) -> str:
    return TAG_MARK + ("secret" if isinstance(value, dict) and "use" in value else "own")


_Secret = Annotated[SecretReference, tag("secret")]
_SECRET_OR_OWN = Discriminator(_secret_or_own)


class _OneScheme(Part):
    """Exactly one of its alternatives."""

    alternatives: ClassVar[tuple[str, ...]] = SCHEMES

    basic: Maybe[Annotated[_Secret | Annotated[Credentials, tag("own")], _SECRET_OR_OWN]] = None
    bearer: Maybe[Annotated[_Secret | Annotated[BearerToken, tag("own")], _SECRET_OR_OWN]] = None
    digest: Maybe[Annotated[_Secret | Annotated[Credentials, tag("own")], _SECRET_OR_OWN]] = None
    oauth2: Maybe[Annotated[_Secret | Annotated[OAuth2, tag("own")], _SECRET_OR_OWN]] = None
    oidc: Maybe[Annotated[_Secret | Annotated[OpenIdConnect, tag("own")], _SECRET_OR_OWN]] = None

    @model_validator(mode="after")
    def _has_one_scheme(self) -> Self:
        if len(self.given(*self.alternatives)) != 1:
            raise ValueError(f"must have exactly one of {', '.join(self.alternatives)}")
        return self


class ReusableAuthentication(_OneScheme):
    """Exactly one scheme, declared under a name; it may have more fields than these."""

    model_config = ConfigDict(extra="allow")


class Authentication(_OneScheme):
    """Exactly one scheme, or the name of a policy that `use` declares."""

    alternatives = ("use", *SCHEMES)

    use: Maybe[Annotated[str, Field(min_length=1)]] = None
