"""What is the same in JSON, and what holds: held against jq."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.expressions.equality import is_so, same
from infra.expressions.program import evaluate

SCALARS = st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, "", "1", "true"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


class TestTwoValues:
    @given(VALUES, VALUES)
    def test_are_the_same_as_for_jq(self, one, other):
        assert same(one, other) is evaluate(". == $other", one, {"other": other})

    @given(VALUES)
    def test_are_the_same_if_they_are_one(self, value):
        assert same(value, value)

    @pytest.mark.parametrize(("one", "other"), [(True, 1), (False, 0), ([1], [True]), ({"a": [0]}, {"a": [False]})])
    def test_are_not_the_same_if_only_one_is_true_or_false(self, one, other):
        assert one == other
        assert not same(one, other)


class TestAValue:
    @given(VALUES)
    def test_holds_as_a_condition_where_it_does_for_jq(self, value):
        assert is_so(value) is evaluate("if . then true else false end", value, {})
