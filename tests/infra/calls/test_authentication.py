"""The five ways to authenticate a call (reference: Authentication), against a server that checks them."""

import asyncio
import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.responses import JSONResponse, Response

from infra.calls.call import CallContext, CallFailed, authorization_of, carry_out
from tests.infra.calls.other_side import OtherSide, Seen

pytestmark = pytest.mark.outside

SECRET = "a-secret-that-is-long-enough-to-sign-with"


async def call(context: CallContext, url: str, policy: dict[str, Any], method: str = "get") -> Any:
    return await carry_out("http", {"method": method, "endpoint": {"uri": url, "authentication": policy}}, context)


def wants(header: str) -> Any:
    """Answers those whose Authorization is this."""
    return lambda seen: Response(status_code=204 if seen.headers.get("authorization") == header else 401)


class TestBasic:
    async def test_sends_name_and_password(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", wants("Basic YW5uYTpow7xo"))
        await call(context, url, {"basic": {"username": "anna", "password": "hüh"}})

    async def test_is_what_authorization_shows(self, context: CallContext) -> None:
        policy = {"basic": {"username": "anna", "password": "hüh"}}
        assert await authorization_of(policy, context) == ("Basic", "YW5uYTpow7xo")

    @pytest.mark.parametrize(
        "policy", [{"basic": {"username": "anna"}}, {"basic": 5}, {"kerberos": {}}, {"bearer": {}}]
    )
    async def test_that_is_incomplete_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext, policy: Any
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await call(context, server.at("/a", {}), policy)
        assert server.seen == []


class TestBearer:
    async def test_sends_its_token(self, server: OtherSide, context: CallContext) -> None:
        await call(context, server.at("/a", wants("Bearer t1")), {"bearer": {"token": "t1"}})
        assert await authorization_of({"bearer": {"token": "t1"}}, context) == ("Bearer", "t1")

    async def test_that_is_refused_is_a_failed_communication(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 401"):
            await call(context, server.at("/a", wants("Bearer t1")), {"bearer": {"token": "t2"}})

    async def test_that_no_header_can_hold_is_a_matter_of_configuration(
        self, server: OtherSide, context: CallContext
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400") as failed:
            await call(context, server.at("/a", {}), {"bearer": {"token": "t1\r\nX: y"}})
        assert "t1" not in failed.value.detail


def challenge(seen: Seen) -> Response:
    """Digest as in RFC 7616, with SHA-256 and qop=auth."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', seen.headers.get("authorization", "")))
    if not given:
        header = 'Digest realm="here", nonce="n1", algorithm=SHA-256, qop="auth"'
        return Response(status_code=401, headers={"www-authenticate": header})

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    first, second = digest("anna:here:pw"), digest(f"{seen.method}:{seen.path}")
    expected = digest(f"{first}:n1:{given['nc']}:{given['cnonce']}:auth:{second}")
    return JSONResponse({"ok": True}, 200 if given["response"] == expected else 403)


class TestDigest:
    async def test_answers_the_challenge(self, server: OtherSide, context: CallContext) -> None:
        url = server.at("/a", challenge)
        assert await call(context, url, {"digest": {"username": "anna", "password": "pw"}}, "post") == {"ok": True}
        assert len(server.seen) == 2
        assert {seen.headers["idempotency-key"] for seen in server.seen} == {"call-1"}

    @pytest.mark.parametrize(
        "challenge",
        ['nonce="n1", algorithm=NEW-512', 'nonce="n1", qop="auth-int"', 'nonce="n1", qop="other"', "algorithm=MD5"],
    )
    async def test_of_a_kind_that_is_not_known_is_a_failed_authentication(
        self, server: OtherSide, context: CallContext, challenge: str
    ) -> None:
        headers = {"www-authenticate": f'Digest realm="here", {challenge}'}
        url = server.at("/a", Response(status_code=401, headers=headers))
        with pytest.raises(CallFailed, match="authentication 401") as failed:
            await call(context, url, {"digest": {"username": "anna", "password": "pw"}}, "post")
        assert (failed.value.in_doubt, len(server.seen)) == (False, 1)

    async def test_fails_with_the_wrong_password(self, server: OtherSide, context: CallContext) -> None:
        with pytest.raises(CallFailed, match="communication 403"):
            await call(context, server.at("/a", challenge), {"digest": {"username": "anna", "password": "no"}})


def oauth2(server: OtherSide, **more: Any) -> dict[str, Any]:
    client = {"id": "runner", "secret": SECRET}
    return {"authority": server.url, "grant": "client_credentials", "client": client, **more}


def issues(server: OtherSide, token: str = "t1", path: str = "/oauth2/token", **more: Any) -> None:
    server.at(path, {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **more})


def asked(seen: Seen) -> dict[str, str]:
    return {name: " ".join(values) for name, values in parse_qs(seen.body.decode()).items()}


class TestOAuth2:
    async def test_asks_for_a_token_and_sends_it(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        url = server.at("/a", wants("Bearer t1"))
        await call(context, url, {"oauth2": oauth2(server, scopes=["api", "more"], audiences=["runtime"])})
        assert [seen.path for seen in server.seen] == ["/oauth2/token", "/a"]
        assert asked(server.seen[0]) == {
            "grant_type": "client_credentials",
            "client_id": "runner",
            "client_secret": SECRET,
            "scope": "api more",
            "audience": "runtime",
        }

    async def test_asks_once_while_the_token_holds(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        url = server.at("/a", wants("Bearer t1"))
        for _ in range(3):
            await call(context, url, {"oauth2": oauth2(server)})
        assert [seen.path for seen in server.seen].count("/oauth2/token") == 1

    async def test_asks_once_for_many_calls_at_a_time(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        await asyncio.gather(*(authorization_of({"oauth2": oauth2(server)}, context) for _ in range(10)))
        assert len(server.seen) == 1

    async def test_asks_again_after_its_token_was_refused(self, server: OtherSide, context: CallContext) -> None:
        issues(server, "revoked")
        url = server.at("/a", wants("Bearer t2"))
        with pytest.raises(CallFailed, match="communication 401"):
            await call(context, url, {"oauth2": oauth2(server)})
        issues(server, "t2")
        await call(context, url, {"oauth2": oauth2(server)})

    async def test_asks_again_for_another_client_or_scope(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        policies = [oauth2(server), oauth2(server, scopes=["a"]), oauth2(server, client={"id": "other", "secret": "s"})]
        for policy in policies:
            await authorization_of({"oauth2": policy}, context)
        assert len(server.seen) == 3

    async def test_asks_again_when_the_token_is_about_to_expire(self, server: OtherSide, context: CallContext) -> None:
        issues(server, expires_in=0)
        for _ in range(2):
            await authorization_of({"oauth2": oauth2(server)}, context)
        assert len(server.seen) == 2

    async def test_asks_below_the_authority_where_its_endpoint_says(
        self, server: OtherSide, context: CallContext
    ) -> None:
        issues(server, path="/realms/one/token")
        policy = oauth2(server, authority=f"{server.url}/realms/one", endpoints={"token": "/token"})
        assert await authorization_of({"oauth2": policy}, context) == ("Bearer", "t1")

    async def test_names_its_endpoint_where_that_fails(self, server: OtherSide, context: CallContext) -> None:
        policy = oauth2(server, endpoints={"token": "/realms/token"})
        with pytest.raises(CallFailed, match=f"POST {server.url}/realms/token answered 404"):
            await authorization_of({"oauth2": policy}, context)

    @pytest.mark.parametrize(
        ("grant", "more", "fields"),
        [
            ("password", {"username": "anna", "password": "pw"}, {"username": "anna", "password": "pw"}),
            ("refresh_token", {"subject": {"token": "r1", "type": "refresh"}}, {"refresh_token": "r1"}),
            (
                "urn:ietf:params:oauth:grant-type:token-exchange",
                {"subject": {"token": "s1", "type": "jwt"}, "actor": {"token": "a1", "type": "saml2"}},
                {"subject_token": "s1", "subject_token_type": "jwt", "actor_token": "a1", "actor_token_type": "saml2"},
            ),
        ],
    )
    async def test_knows_the_grant(
        self, server: OtherSide, context: CallContext, grant: str, more: dict[str, Any], fields: dict[str, str]
    ) -> None:
        issues(server)
        await authorization_of({"oauth2": oauth2(server, grant=grant, **more)}, context)
        assert asked(server.seen[0]).items() >= {"grant_type": grant, **fields}.items()

    @pytest.mark.parametrize("grant", ["authorization_code", "magic"])
    async def test_refuses_a_grant_that_a_run_cannot_have(
        self, server: OtherSide, context: CallContext, grant: str
    ) -> None:
        with pytest.raises(CallFailed, match="configuration 400"):
            await authorization_of({"oauth2": oauth2(server, grant=grant)}, context)

    async def test_can_say_who_it_is_in_a_header(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        client = {"id": "a:b", "secret": "s s", "authentication": "client_secret_basic"}
        await authorization_of({"oauth2": oauth2(server, client=client)}, context)
        header = server.seen[0].headers["authorization"].removeprefix("Basic ")
        assert b64decode(header) == b"a%3Ab:s+s"
        assert "client_secret" not in asked(server.seen[0])

    async def test_can_say_who_it_is_by_a_signed_assertion(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        client = {"id": "runner", "secret": SECRET, "authentication": "client_secret_jwt"}
        await authorization_of({"oauth2": oauth2(server, client=client)}, context)
        fields = asked(server.seen[0])
        claims = jwt.decode(fields["client_assertion"], OctKey.import_key(SECRET)).claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("runner", "runner", f"{server.url}/oauth2/token")
        assert fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert "client_secret" not in fields

    async def test_can_say_who_it_is_by_an_assertion_that_it_was_given(
        self, server: OtherSide, context: CallContext
    ) -> None:
        issues(server)
        client = {"id": "runner", "assertion": "a.b.c", "authentication": "private_key_jwt"}
        await authorization_of({"oauth2": oauth2(server, client=client)}, context)
        assert asked(server.seen[0])["client_assertion"] == "a.b.c"

    async def test_can_ask_without_saying_who_it_is(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        await authorization_of({"oauth2": oauth2(server, client={"authentication": "none"})}, context)
        assert asked(server.seen[0]) == {"grant_type": "client_credentials"}

    async def test_can_ask_in_json(self, server: OtherSide, context: CallContext) -> None:
        issues(server)
        await authorization_of({"oauth2": oauth2(server, request={"encoding": "application/json"})}, context)
        assert server.seen[0].json["client_id"] == "runner"

    @pytest.mark.parametrize(
        "answer",
        [
            JSONResponse({"error": "invalid_client", "said": SECRET}, 401),
            JSONResponse({"token_type": "Bearer"}),
            JSONResponse(["no object"]),
            Response(b"no json"),
            Response(b'{"access_token": "t1", "expires_in": NaN}'),
            Response(b'{"access_token": "t1", "expires_in": 1e999}'),
        ],
    )
    async def test_without_a_token_is_a_failed_authentication(
        self, server: OtherSide, context: CallContext, answer: Response
    ) -> None:
        server.at("/oauth2/token", answer)
        with pytest.raises(CallFailed) as failed:
            await call(context, server.at("/a", {}), {"oauth2": oauth2(server)})
        assert (failed.value.type, failed.value.status) == ("authentication", 401)
        assert SECRET not in failed.value.detail

    async def test_takes_a_token_of_no_other_issuer(self, server: OtherSide, context: CallContext) -> None:
        claims = urlsafe_b64encode(orjson.dumps({"iss": "https://one.example.com"})).decode().rstrip("=")
        issues(server, token=f"e30.{claims}.x")
        fine = oauth2(server, issuers=["https://one.example.com"])
        assert await authorization_of({"oauth2": fine}, context) == ("Bearer", f"e30.{claims}.x")
        with pytest.raises(CallFailed, match="authentication 401"):
            await authorization_of({"oauth2": oauth2(server, issuers=["https://two.example.com"])}, context)


class TestOpenIdConnect:
    @pytest.mark.parametrize("ending", ["", "/", "/.well-known/openid-configuration"])
    async def test_finds_the_endpoint_in_the_authoritys_description(
        self, server: OtherSide, context: CallContext, ending: str
    ) -> None:
        issues(server, path="/somewhere/token")
        description = {"token_endpoint": f"{server.url}/somewhere/token"}
        server.at("/realms/one/.well-known/openid-configuration", description)
        policy = oauth2(server, authority=f"{server.url}/realms/one{ending}")
        await call(context, server.at("/a", wants("Bearer t1")), {"oidc": policy})
        assert [seen.path for seen in server.seen][1:] == ["/somewhere/token", "/a"]

    async def test_without_a_description_is_a_failed_authentication(
        self, server: OtherSide, context: CallContext
    ) -> None:
        with pytest.raises(CallFailed, match="authentication 401"):
            await call(context, server.at("/a", {}), {"oidc": oauth2(server)})
