"""Cursors: good for what they were given for, and for nothing else."""

import base64

import orjson
import pytest

from read_side.cursor import CURSOR, CursorMalformed, CursorUnknown, read_cursor, write_cursor

GIVEN = write_cursor("/v1/agents", "default", {"status": "started"}, ("agent-7",))


class TestACursor:
    def test_leads_back_to_its_key(self) -> None:
        assert read_cursor(GIVEN, "/v1/agents", "default", {"status": "started"}, [str]) == ("agent-7",)

    def test_keeps_the_types_of_its_key(self) -> None:
        text = write_cursor("/v1/tasks", "default", {}, ("t", 12))
        assert read_cursor(text, "/v1/tasks", "default", {}, [str, int]) == ("t", 12)

    def test_has_the_form_that_is_documented(self) -> None:
        assert CURSOR.read(GIVEN) == GIVEN

    @pytest.mark.parametrize(
        ("listing", "tenant", "filters"),
        [
            ("/v1/nodes", "default", {"status": "started"}),
            ("/v1/agents", "other", {"status": "started"}),
            ("/v1/agents", "default", {"status": "stopped"}),
            ("/v1/agents", "default", {}),
        ],
    )
    def test_is_unknown_elsewhere(self, listing: str, tenant: str, filters: dict[str, str]) -> None:
        with pytest.raises(CursorUnknown):
            read_cursor(GIVEN, listing, tenant, filters, [str])

    @pytest.mark.parametrize("place", range(0, len(GIVEN), 3))
    def test_is_unknown_when_it_was_changed(self, place: int) -> None:
        other = "A" if GIVEN[place] != "A" else "B"
        with pytest.raises(CursorUnknown):
            read_cursor(
                GIVEN[:place] + other + GIVEN[place + 1 :], "/v1/agents", "default", {"status": "started"}, [str]
            )

    @pytest.mark.parametrize("content", [[], {}, None, "text", ["x"], [1, 2, 3], [["x"], "agent-7"], ["x", {"a": 1}]])
    def test_is_unknown_with_other_content(self, content: object) -> None:
        text = base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()
        with pytest.raises(CursorUnknown):
            read_cursor(text, "/v1/agents", "default", {"status": "started"}, [str])

    def test_is_unknown_when_it_was_made_of_what_no_key_has(self) -> None:
        text = write_cursor("/v1/agents", "default", {}, ("a\x00",))
        with pytest.raises(CursorUnknown):
            read_cursor(text, "/v1/agents", "default", {}, [str])

    @pytest.mark.parametrize("text", ["", "short", "x" * 2_000, "a" * 30 + "=", "a b" * 10, "ä" * 30, "a" * 30 + "\n"])
    def test_of_another_form_is_malformed(self, text: str) -> None:
        with pytest.raises(CursorMalformed):
            CURSOR.read(text)
