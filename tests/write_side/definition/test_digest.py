"""The digest of a definition."""

import json

from infra.adapters.document_text import parse_document
from tests.write_side.definition.small_definitions import TEXTS, small_definition
from write_side.definition.digest import digest


class TestADigest:
    def test_is_the_same_in_both_notations_and_any_order_of_keys(self) -> None:
        for name in TEXTS:
            document = small_definition(name)
            turned = dict(reversed(document.items()))
            text = json.dumps(turned, indent=2).encode()
            assert digest(parse_document(text, "application/json")) == digest(document)

    def test_differs_where_the_content_does(self) -> None:
        assert len({digest(small_definition(name)) for name in TEXTS}) == len(TEXTS)
        assert digest([1, 2]) != digest([2, 1])

    def test_is_what_others_can_compute(self) -> None:
        # printf '{"a":"ä","b":[1,true,null]}' | sha256sum
        expected = "sha256:0a884a37e8c5845d526f49efb88b2fa39e02369bcac2f814ac0305f127385590"
        assert digest({"b": [1, True, None], "a": "ä"}) == expected
