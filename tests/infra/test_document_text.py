"""Documents in YAML and JSON: what they become, and what is refused."""

import pytest

from infra.adapters import document_text
from infra.adapters.document_text import DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX, parse_document
from infra.adapters.problem import BodyTooLarge, Malformed, UnsupportedMediaType
from tests.sizes import examples

YAML, JSON = "application/yaml", "application/json"


def yaml(text: str) -> object:
    return parse_document(text.encode(), YAML)


def refusal(text: str, media_type: str = YAML) -> str:
    with pytest.raises(Malformed) as caught:
        parse_document(text.encode(), media_type)
    return str(caught.value)


class TestAYamlDocument:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a: 2026-01-02", {"a": "2026-01-02"}),
            ("a: 2026-01-02T03:04:05Z", {"a": "2026-01-02T03:04:05Z"}),
            ("on: {off: yes, no: 'true'}", {"on": {"off": "yes", "no": "true"}}),
            ("[1:30, 0o17, 0x1F, 017, 1_000, +1]", ["1:30", 15, 31, 17, "1_000", 1]),
            ("[1.5, 1e3, .5, 1.0.0]", [1.5, 1000.0, 0.5, "1.0.0"]),
            ("[~, null, true, False, !!str 1, ! 1, '']", [None, None, True, False, "1", "1", ""]),
            ("a:", {"a": None}),
            ("<<: {a: 1}", {"<<": {"a": 1}}),
            ("- &x {a: [1]}\n- *x", [{"a": [1]}, {"a": [1]}]),
            ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
            ("\ufeffa: ä", {"a": "ä"}),
        ],
    )
    def test_becomes_json_by_the_core_schema(self, text: str, value: object) -> None:
        assert yaml(text) == value

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{a: 1, a: 2}", "Line 1, column 1: the key 'a' stands twice in this object."),
            ("200: ok", "a key of this object is not text"),
            ("? [a]\n: b", "a key of this object is not text"),
            ("- &x [*x]", "no value before this one is called 'x'"),
            ("*x", "no value before this one is called 'x'"),
            ("!!python/object/apply:os.getcwd []", "makes nothing that JSON has"),
            ("!!binary aGk=", "makes nothing that JSON has"),
            ("a: .inf", "is no number in JSON"),
            ("a: 9223372036854775808", "64 bits"),
            ("a: " + "1" * 5_000, "64 bits"),
            ("a: 1e999", "too large a number"),
            ("a: b\n---\nc: d", "2 documents"),
            ("", "0 documents"),
            ("a: b: c", "Line 1, column 5"),
            ('"a\\0b"', "NUL"),
            ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "nested deeper"),
        ],
    )
    def test_is_refused_if_it_is_no_json_or_too_much(self, text: str, said: str) -> None:
        assert said in refusal(text)

    def test_is_refused_with_too_many_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        most = examples(NODES_MAX)
        monkeypatch.setattr(document_text, "NODES_MAX", most)
        assert f"more than {most} values" in refusal("[" + "1," * most + "]")

    def test_has_its_aliases_counted_as_often_as_they_stand(self) -> None:
        levels = [f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 9)}]" for number in range(1, 12)]
        assert f"more than {NODES_MAX} values" in refusal("\n".join(["l0: &l0 [1]", *levels]))

    @pytest.mark.timeout(5)
    @pytest.mark.parametrize(
        "opening",
        ["[", "{", "? ", "- ", "&a [", "a: &a\n", "!!seq [", "*a ", "' ", "[a, ", "a: [b]\n", "|\n", "#", "%a\n", "\t"],
    )
    def test_is_refused_soon_whatever_it_repeats(self, opening: str) -> None:
        assert refusal(opening * examples(TEXT_BYTES_MAX // len(opening)))

    def test_may_be_nested_up_to_the_bound(self) -> None:
        yaml("[" * DEPTH_MAX + "]" * DEPTH_MAX)


class TestAJsonDocument:
    def test_is_read_as_it_is(self) -> None:
        assert parse_document(b'{"a": [1, 1.5, null, true, "b"]}', JSON) == {"a": [1, 1.5, None, True, "b"]}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"a": 1, "a": 2}', "stands twice"),
            ("[NaN]", "is no number in JSON"),
            ("[1e999]", "too large a number"),
            ("[" + "1" * 5_000 + "]", "64 bits"),
            ("{", "Line 1, column 2"),
            ('["\\ud800"]', "surrogate"),
            ("[" * 200_000, "nested deeper"),
            ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "nested deeper"),
        ],
    )
    def test_is_refused_if_others_could_not_read_it(self, text: str, said: str) -> None:
        assert said in refusal(text, JSON)


class TestAText:
    @pytest.mark.parametrize("media_type", ["text/yaml", "application/x-yaml", "application/vnd.a+json; charset=utf-8"])
    def test_is_read_by_its_media_type(self, media_type: str) -> None:
        assert parse_document(b'{"a": 1}', media_type) == {"a": 1}

    def test_is_refused_in_another_notation_too_long_or_in_another_encoding(self) -> None:
        with pytest.raises(UnsupportedMediaType):
            parse_document(b"", "text/plain")
        with pytest.raises(BodyTooLarge):
            parse_document(b" " * (TEXT_BYTES_MAX + 1), YAML)
        with pytest.raises(Malformed, match="not UTF-8 from byte 1 on"):
            parse_document(b"a\xff", YAML)
