"""For how long an access token is kept, whatever its authority says (RFC 6749, section 5.1)."""

import pytest
from pydantic import JsonValue

from infra.calls.tokens import _kept_for_s


class TestTheLifetimeOfAToken:
    @pytest.mark.parametrize(
        ("expires_in", "kept_s"), [(3_600, 3_570), ("3600", 3_570), (20, 10), (0, 0), (-1, 0), (-1e300, 0)]
    )
    def test_ends_shortly_before_it_expires(self, expires_in: JsonValue, kept_s: float) -> None:
        assert _kept_for_s(expires_in) == kept_s

    @pytest.mark.parametrize("expires_in", [None, "soon", "", "NaN", True, [1], {}])
    def test_is_short_where_nothing_is_said_of_it(self, expires_in: JsonValue) -> None:
        assert _kept_for_s(expires_in) == 30

    @pytest.mark.parametrize("expires_in", ["Infinity", 1e300, "9" * 400])
    def test_is_a_day_at_most(self, expires_in: JsonValue) -> None:
        assert _kept_for_s(expires_in) == 86_400
