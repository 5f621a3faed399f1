"""Durations as text."""

import pytest

from infra.expressions.durations import seconds_of


class TestADuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("PT0S", 0),
            ("PT5.5S", 5.5),
            ("P1DT2H30M5.5S", 95405.5),
            ("P2W", 1209600),
            ("P1Y", 31536000),
            ("P1M", 2592000),
            ("PT1M", 60),
            ("PT0,25H", 900),
            ("P1Y2M3W4DT5H6M7S", 31536000 + 5184000 + 1814400 + 345600 + 18367),
            ("PT0.001S", 0.001),
        ],
    )
    def test_has_seconds(self, text: str, seconds: float) -> None:
        assert seconds_of(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "P1DT",
            "PT1D",
            "P1H",
            "PT1.5H2M",
            "-P1D",
            "P1S",
            "pt1s",
            "PT1S\n",
            "PT٣S",
            "PT1M1H",
            "P" + "9" * 99 + "D",
        ],
    )
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(ValueError, match="ISO 8601"):
            seconds_of(text)
