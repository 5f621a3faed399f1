"""Identifiers that are ordered by time, and their text."""

import time
from datetime import UTC
from itertools import pairwise
from uuid import UUID

import pytest

from infra import ids


class TestANewUuid7:
    def test_is_a_uuid_of_version_7(self) -> None:
        for _ in range(1_000):
            made = UUID(bytes=ids.new_uuid7())
            assert (made.version, made.variant) == (7, "specified in RFC 4122")

    def test_holds_the_time_in_milliseconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: 5_000_000_000_123_999_999)
        monkeypatch.setattr(ids, "_last_ms", 0)
        assert int.from_bytes(ids.new_uuid7()[:6], "big") == 5_000_000_000_123

    def test_is_greater_than_the_one_before(self) -> None:
        made = [ids.new_uuid7() for _ in range(20_000)]
        assert all(before < after for before, after in pairwise(made))

    def test_is_greater_even_when_the_clock_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = ids.new_uuid7()
        monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
        assert all(before < after for before, after in pairwise([before, *(ids.new_uuid7() for _ in range(1_000))]))

    def test_is_greater_even_when_a_millisecond_is_used_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
        monkeypatch.setattr(ids, "_last_ms", 7_000)
        monkeypatch.setattr(ids, "_low", (0b11 << 62) - 1)
        made = [ids.new_uuid7() for _ in range(3)]
        assert [int.from_bytes(raw[:6], "big") for raw in made] == [7_001] * 3
        assert made == sorted(made)
        assert {UUID(bytes=raw).version for raw in made} == {7}


class TestTheTextOfAUuid:
    def test_is_the_usual_one_and_back(self) -> None:
        for _ in range(100):
            raw = ids.new_uuid7()
            assert ids.uuid_text(raw) == str(UUID(bytes=raw))
            assert ids.uuid_bytes(ids.uuid_text(raw)) == raw

    def test_of_new_ids_sorts_as_they_were_made(self) -> None:
        made = [ids.new_id() for _ in range(1_000)]
        assert made == sorted(made)


class TestTheClock:
    def test_is_aware_and_in_utc(self) -> None:
        assert ids.utc_now().tzinfo is UTC
