"""Parameters: what they take, what they refuse, and that the document says the same."""

from typing import Any

import pytest

from infra.adapters.problem import InvalidFields, Malformed
from infra.adapters.web_parameters import Parameter, QueryReader, position

LIMIT = Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100}, "")
KIND = Parameter("kind", "query", {"type": "string", "enum": ["a", "b"]}, "", repeated=True)
FLAG = Parameter("flag", "query", {"type": "boolean"}, "")
NAME = Parameter("name", "query", {"type": "string", "pattern": "^[a-z]{2,4}$"}, "")
FREE = Parameter("free", "query", {"type": "string", "maxLength": 5}, "")
READER = QueryReader((LIMIT, KIND, FLAG, NAME, FREE))

NOT_AS_DECLARED = (
    *(b"limit=" + text for text in (b"", b"0", b"101", b"1.0", b"%201", b"0x1", b"007", b"9" * 5_000)),
    *(b"kind=c", b"kind=", b"flag=1", b"flag=True"),
    *(b"name=a", b"name=abc%0A", b"name=ABC", b"free=%00", b"free=toolong"),
    *(b"limit=1&limit=1", b"other=1", b"LIMIT=1", b"=1", b"limit"),
)


class TestAQuery:
    def test_gives_values_of_the_declared_types(self) -> None:
        query = b"limit=7&kind=a&kind=b&flag=true&name=abc&free=%C3%A9+x"
        assert READER.read(query) == {"limit": 7, "kind": ["a", "b"], "flag": True, "name": "abc", "free": "é x"}

    def test_may_be_empty(self) -> None:
        assert READER.read(b"") == {}

    @pytest.mark.parametrize("query", NOT_AS_DECLARED)
    def test_that_is_not_as_declared_is_refused(self, query: bytes) -> None:
        with pytest.raises(InvalidFields):
            READER.read(query)

    @pytest.mark.parametrize(
        "query", [b"free=%ff", b"free=\xff", b"&".join(b"kind=a" for _ in range(200)), b"a" * 20_000]
    )
    def test_that_cannot_be_read_is_malformed(self, query: bytes) -> None:
        with pytest.raises(Malformed):
            READER.read(query)


class TestAPosition:
    @pytest.mark.parametrize("text", ["0", "1", "9007199254740991"])
    def test_in_a_query_is_any_whole_number_that_json_keeps_exact(self, text: str) -> None:
        assert position("after", "query", "").read(text) == int(text)

    @pytest.mark.parametrize("text", ["9007199254740992", "-1", "", "1e3", "\u0663"])
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(InvalidFields):
            position("after", "query", "").read(text)

    @pytest.mark.parametrize(
        ("text", "good"), [("0", True), ("12", True), ("012", False), ("", False), ("1" * 16, False), ("\u0661", False)]
    )
    def test_in_a_header_is_text_of_digits(self, text: str, good: bool) -> None:
        parameter = position("Last-Event-ID", "header", "")
        if good:
            assert parameter.read(text) == text
        else:
            with pytest.raises(InvalidFields):
                parameter.read(text)


class TestTheRefusal:
    @pytest.mark.parametrize("text", ["0", "99999999999999999999999999", "much"])
    def test_names_the_parameter_where_it_stands_and_its_range(self, text: str) -> None:
        with pytest.raises(InvalidFields) as refused:
            READER.read(f"limit={text}".encode())
        expected: list[Any] = [{"parameter": "limit", "in": "query", "detail": "must be a whole number from 1 to 100"}]
        assert refused.value.details["errors"] == expected
