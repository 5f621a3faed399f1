"""Statements of the reference about who calls and what nobody may see, each with a small definition that the running system plays."""

from tests.kit.example import Ask, Plays, Refused, Statement
from tests.kit.routes import CLIENT
from tests.kit.routes_of_statements import ADMIN, DIGEST, HERE, ISSUER
from tests.kit.statements_of_calls import call, run, secured
from tests.write_side.dsl_case import STANDARD, UNSAID

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
SECRET = "a-secret-that-is-long-enough-to-sign-with"
ADMITTED = f"authentication: {{basic: {{username: {ADMIN['username']}, password: '{ADMIN['password']}'}}}}"
WHO = "username: ann, password: s3cret"
TOKENS = "subject: {token: s1, type: jwt}, actor: {token: a1, type: saml2}"
SENT = {"subject_token": "s1", "subject_token_type": "jwt", "actor_token": "a1", "actor_token_type": "saml2"}


def policy(grant: str, client: str = "id: kit, secret: s3cret", authority: str = HERE) -> str:
    """What OAuth2 and OpenID Connect have in common."""
    return f"authority: '{authority}', client: {{{client}}}, grant: {grant}"


def asks(path: str, **body: object) -> Plays:
    """The authority is asked for a token like this, and the call is made with it."""
    return Plays(output={"headers": {"authorization": "Bearer kit-token"}}, asks=(Ask("POST", HERE + path, body=body),))


OF_OAUTH2 = (
    Statement(
        "OAUTH2 Authentication",
        "a client may be authenticated by a JWT that its secret signs",
        secured(
            f"oauth2: {{{policy('client_credentials', f'id: kit, secret: {SECRET}, authentication: client_secret_jwt')}}}"
        ),
        asks("/oauth2/token", client_id="kit", **ASSERTION, client_assertion=UNSAID),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a client may be authenticated by a JWT of its own",
        secured(
            f"oauth2: {{{policy('client_credentials', 'id: kit, assertion: a.b.c, authentication: private_key_jwt')}}}"
        ),
        asks("/oauth2/token", client_id="kit", **ASSERTION, client_assertion="a.b.c"),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a client without authentication only says who it is",
        secured(f"oauth2: {{{policy('client_credentials', 'id: kit, authentication: none')}}}"),
        asks("/oauth2/token", grant_type="client_credentials", client_id="kit"),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a token may be asked for with one that refreshes it",
        secured(f"oauth2: {{{policy('refresh_token')}, subject: {{token: r1, type: refresh}}}}"),
        asks("/oauth2/token", grant_type="refresh_token", refresh_token="r1"),
    ),
    Statement(
        "OAUTH2 Authentication",
        "scopes and audiences are asked for",
        secured(f"oauth2: {{{policy('client_credentials')}, scopes: [a, b], audiences: [c, d]}}"),
        asks("/oauth2/token", scope="a b", audience="c d"),
    ),
    Statement(
        "OAUTH2 Authentication",
        "the endpoint for tokens may be somewhere else below the authority",
        secured(f"oauth2: {{{policy('client_credentials')}, endpoints: {{token: /oidc}}}}"),
        asks("/oidc", grant_type="client_credentials"),
    ),
    Statement(
        "OAUTH2 Authentication",
        "the authority is a URI template",
        secured(f"oauth2: {{{policy('client_credentials', authority=HERE + '/tenants/{tenant}')}}}"),
        Plays({"tenant": "t/1"}, output={"headers": {"authorization": "Bearer kit-token"}}),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a token of an issuer that is listed is taken",
        secured(f"oauth2: {{{policy('client_credentials', authority=HERE + '/issued')}, issuers: ['{ISSUER}']}}"),
        Plays(),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a token of an issuer that is not listed is refused",
        secured(f"oauth2: {{{policy('client_credentials', authority=HERE + '/issued')}, issuers: ['{HERE}']}}"),
        Plays(error={"type": f"{STANDARD}authentication", "status": 401}),
    ),
    Statement(
        "OAUTH2 Token",
        "subject and actor are sent with their types",
        secured(f"oauth2: {{{policy(f'{EXCHANGE!r}')}, {TOKENS}}}"),
        asks("/oauth2/token", grant_type=EXCHANGE, **SENT),
    ),
    Statement(
        "OAUTH2 Authentication",
        "a code that a person would have to get is refused",
        secured(f"oauth2: {{{policy('authorization_code')}}}"),
        Refused("/do/0/c/with/endpoint/authentication/oauth2/grant"),
    ),
)

OF_OPENID_CONNECT = (
    Statement(
        "OpenIdConnect Authentication",
        "a token may be asked for with a user's name and password, in JSON",
        secured(f"oidc: {{{policy('password')}, {WHO}, request: {{encoding: application/json}}}}"),
        asks("/oidc", grant_type="password", **DIGEST),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "a token may be asked for with one that refreshes it",
        secured(f"oidc: {{{policy('refresh_token')}, subject: {{token: r1, type: refresh}}}}"),
        asks("/oidc", grant_type="refresh_token", refresh_token="r1"),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "tokens may be exchanged",
        secured(f"oidc: {{{policy(f'{EXCHANGE!r}')}, {TOKENS}}}"),
        asks("/oidc", grant_type=EXCHANGE, **SENT),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "a client may be authenticated by a JWT that its secret signs",
        secured(
            f"oidc: {{{policy('client_credentials', f'id: kit, secret: {SECRET}, authentication: client_secret_jwt')}}}"
        ),
        asks("/oidc", client_id="kit", **ASSERTION, client_assertion=UNSAID),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "a client may be authenticated by a JWT of its own",
        secured(
            f"oidc: {{{policy('client_credentials', 'id: kit, assertion: a.b.c, authentication: private_key_jwt')}}}"
        ),
        asks("/oidc", client_id="kit", **ASSERTION, client_assertion="a.b.c"),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "a client may be authenticated by a header",
        secured(
            f"oidc: {{{policy('client_credentials', 'id: kit, secret: s3cret, authentication: client_secret_basic')}}}"
        ),
        Plays(asks=(Ask("POST", f"{HERE}/oidc", headers={"authorization": "Basic a2l0OnMzY3JldA=="}),)),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "scopes and audiences are asked for, by default in a form with the client's secret",
        secured(f"oidc: {{{policy('client_credentials')}, scopes: [a, b], audiences: [c, d]}}"),
        asks("/oidc", client_id="kit", client_secret="s3cret", scope="a b", audience="c d"),
    ),
    Statement(
        "OpenIdConnect Authentication",
        "a code that a person would have to get is refused",
        secured(f"oidc: {{{policy('authorization_code')}}}"),
        Refused("/do/0/c/with/endpoint/authentication/oidc/grant"),
    ),
)

OF_RESOURCES = (
    Statement(
        "External Resource",
        "a document is fetched with the authentication of its endpoint",
        call(
            "openapi",
            f"document: {{endpoint: {{uri: '{HERE}/secured/api.json', {ADMITTED}}}}}, "
            "operationId: getThing, parameters: {id: 7}",
        ),
        Plays(output={"path": "/echo/things/7"}),
    ),
    Statement(
        "External Resource",
        "a script is fetched with the authentication of its endpoint",
        run(f"script: {{language: python, source: {{endpoint: {{uri: '{HERE}/secured/script.py', {ADMITTED}}}}}}}"),
        Plays(output="from afar\n"),
    ),
    Statement(
        "External Resource",
        "a document that needs another authentication is not had",
        call("openapi", f"document: {{endpoint: '{HERE}/secured/api.json'}}, operationId: getThing"),
        Plays(error={"status": 401, "instance": "/do/0/c"}),
    ),
)

OF_SECRETS = (
    Statement(
        "Runtime expression arguments",
        "$secrets is at hand in input.from, and what is formed of it in the call",
        "use: {secrets: [mySecret]}\n"
        "do: [{c: {input: {from: {who: '${ $secrets.mySecret.client.id }', id: '${ .id }'}}, call: http, with: {method: get, "
        f"endpoint: '{HERE}/echo/{{who}}', query: {{id: '${{ .id }}'}}, headers: {{x-who: 'is ${{ .who }}'}}}}}}}}]",
        Plays(
            {"id": "7"},
            output={
                "path": f"/echo/{CLIENT['client_id']}",
                "query": {"id": "7"},
                "headers": {"x-who": f"is {CLIENT['client_id']}"},
            },
        ),
    ),
    Statement(
        "Runtime expression arguments",
        "$secrets is at hand in input.from of a process",
        "use: {secrets: [mySecret]}\n"
        "do: [{r: {input: {from: '{who: $secrets.mySecret.client.id}'}, "
        "run: {shell: {command: 'echo $WHO', environment: {WHO: '${ .who }'}}}}}]",
        Plays(output=CLIENT["client_id"] + "\n"),
    ),
    Statement(
        "Runtime Expressions",
        "what a call is given is never evaluated where it is carried out",
        "use: {secrets: [mySecret]}\n"
        "do: [{c: {call: http, with: {"
        f"method: post, endpoint: '{HERE}/echo', headers: {{x-who: '${{ $secrets.mySecret.client.id }}'}}, "
        "body: {said: '${ .said }', authentication: '${ .said }', subscription: {use: '${ .use }'}}}}}]",
        Plays(
            {"said": "${ $secrets.mySecret }", "use": "mySecret"},
            output={
                "body": {
                    "said": "${ $secrets.mySecret }",
                    "authentication": "${ $secrets.mySecret }",
                    "subscription": {"use": "mySecret"},
                }
            },
        ),
    ),
)

ACCESS = (*OF_OAUTH2, *OF_OPENID_CONNECT, *OF_RESOURCES, *OF_SECRETS)
