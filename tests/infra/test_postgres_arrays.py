"""Arrays in Postgres' binary form are those that psycopg makes, one element after the other, of the same values."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Json
from psycopg.types.numeric import Int8

from infra.adapters import postgres_arrays as arrays
from tests.sizes import examples

SHORT = settings(max_examples=examples(30), deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)


def as_psycopg_does(values: list[Any]) -> bytes:
    return bytes(Transformer().get_dumper(values, PyFormat.BINARY).dump(values) or b"")


class TestAnArray:
    @SHORT
    @given(st.lists(TEXT, min_size=1))
    def test_of_texts(self, items: list[str]) -> None:
        assert arrays.texts(items) == arrays.different_texts(items) == as_psycopg_does(items)

    @SHORT
    @given(st.lists(st.binary(), min_size=1))
    def test_of_bytes(self, items: list[bytes]) -> None:
        assert arrays.blobs(items) == as_psycopg_does(items)

    @SHORT
    @given(st.lists(INT64, min_size=1))
    def test_of_whole_numbers(self, items: list[int]) -> None:
        assert arrays.bigints(items) == as_psycopg_does([Int8(item) for item in items])

    @SHORT
    @given(st.lists(st.uuids(), min_size=1))
    def test_of_uuids(self, items: list[UUID]) -> None:
        assert arrays.uuids([item.bytes for item in items]) == as_psycopg_does(items)

    @SHORT
    @given(st.lists(TIMES, min_size=1))
    def test_of_times(self, items: list[datetime]) -> None:
        assert arrays.times(items) == as_psycopg_does(items)

    def test_of_long_elements(self) -> None:
        items = [b"x" * size for size in (0, 1, 4_095, 4_096, 100_000)]
        assert arrays.blobs(items) == as_psycopg_does(items)

    def test_of_json(self) -> None:
        assert arrays.jsons([b'{"a": 1}', b"[]"]) == as_psycopg_does([Json({"a": 1}), Json([])])

    def test_of_nothing_has_no_dimension(self) -> None:
        assert arrays.texts([]) == bytes(8) + (25).to_bytes(4, "big")


class TestWhatIsNoValue:
    @pytest.mark.parametrize("size", [0, 15, 17])
    def test_is_refused_as_a_uuid(self, size: int) -> None:
        with pytest.raises(ValueError, match="16 bytes"):
            arrays.uuids([bytes(16), bytes(size)])

    @pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
    def test_is_refused_for_its_size(self, number: int) -> None:
        with pytest.raises(ValueError, match="64 bits"):
            arrays.bigints([number])

    def test_is_refused_for_its_surrogates(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            arrays.texts(["\ud800"])

    def test_is_refused_for_lack_of_a_zone(self) -> None:
        with pytest.raises(TypeError):
            arrays.times([datetime(2026, 1, 1)])


@pytest.mark.servers
class TestPostgres:
    async def test_takes_them_as_parameters(self, database_url: str) -> None:
        at = datetime(2026, 5, 4, 3, 2, 1, 7, UTC)
        identity = UUID(int=7)
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            arrays.register(connection.adapters)
            query = "SELECT %s, %s, %s, %s, %s, %s"
            parameters = (
                arrays.texts(["ä", ""]),
                arrays.blobs([b"\0"]),
                arrays.bigints([-1, 1 << 62]),
                arrays.uuids([identity.bytes]),
                arrays.times([at]),
                arrays.jsons([b'{"a": [1]}']),
            )
            row = await (await connection.execute(query, parameters)).fetchone()
        assert row == (["ä", ""], [b"\0"], [-1, 1 << 62], [identity], [at], [{"a": [1]}])
