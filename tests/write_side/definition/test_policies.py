"""What a policy for tokens has to have, and what holds where it says nothing (reference: OAUTH2 Authentication)."""

from typing import Any

import pytest

from write_side.definition.authentication import OAuth2, OpenIdConnect
from write_side.definition.policies import check_policy

CLIENT = {"id": "kit", "secret": "s"}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN = {"token": "t", "type": "jwt"}


def wrong(**fields: Any) -> list[str]:
    given = {"authority": "https://tests", "grant": "client_credentials", "client": CLIENT, **fields}
    given = {name: value for name, value in given.items() if value is not None}
    return [pointer for pointer, _ in check_policy("", OpenIdConnect.model_validate(given))]


class TestAPolicy:
    @pytest.mark.parametrize(
        ("fields", "places"),
        [
            ({}, []),
            ({"grant": "authorization_code"}, ["/grant"]),
            ({"grant": "password"}, ["/username", "/password"]),
            ({"grant": "refresh_token"}, ["/subject"]),
            ({"grant": "refresh_token", "subject": TOKEN}, []),
            ({"grant": EXCHANGE}, ["/subject"]),
            ({"grant": EXCHANGE, "subject": TOKEN}, []),
            ({"client": None}, ["/client/id", "/client/secret"]),
            ({"client": {"authentication": "none"}}, []),
            ({"client": {"id": "kit"}}, ["/client/secret"]),
            ({"client": {"id": "kit", "authentication": "client_secret_basic"}}, ["/client/secret"]),
            ({"client": {"id": "kit", "authentication": "client_secret_jwt"}}, ["/client"]),
            ({"client": {**CLIENT, "authentication": "private_key_jwt"}}, ["/client/assertion"]),
        ],
    )
    def test_has_what_its_grant_and_its_client_need(self, fields: dict[str, Any], places: list[str]) -> None:
        assert wrong(**fields) == places

    def test_has_the_default_paths(self) -> None:
        policy = OAuth2.model_validate({"authority": "https://tests", "grant": "client_credentials"})
        endpoints = policy.endpoints
        found = (endpoints.token, endpoints.revocation, endpoints.introspection)
        assert found == ("/oauth2/token", "/oauth2/revoke", "/oauth2/introspect")
        assert policy.request.encoding == "application/x-www-form-urlencoded"
