"""The table of contents of events: what is stored can be read for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from events.catalog import CATALOG, Catalog, UnknownEventType
from events.event import Event
from events.job import JobCompleted
from events.task import MessageStep, TaskCompleted, TaskStepRecorded, ToolCallStep
from tests.sizes import examples

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
CLASSES = [CATALOG.class_of(type_) for type_ in CATALOG.types]

UNHURRIED = settings(deadline=None, max_examples=examples(50))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def version_of(golden: Path) -> tuple[str, int]:
    type_, _, version = golden.stem.rpartition(".v")
    return type_, int(version)


class TestAStoredEvent:
    """A golden file holds data as it was once stored: none is ever changed or removed."""

    def test_can_be_read_and_written_as_it_was(self):
        for golden in GOLDEN:
            type_, version = version_of(golden)
            stored = golden.read_bytes().strip()
            event = CATALOG.decode(type_, version, stored)
            assert event.type == type_
            assert event.version != version or CATALOG.encode(event) == stored, golden.stem

    def test_reads_the_same_from_bytes_text_and_parsed_data(self):
        for golden in GOLDEN:
            type_, version = version_of(golden)
            stored = golden.read_bytes()
            found = [CATALOG.decode(type_, version, data) for data in (stored, stored.decode(), json.loads(stored))]
            assert found[0] == found[1] == found[2], golden.stem


class TestEveryEvent:
    def test_has_a_golden_file_for_each_version(self):
        expected = {
            (type_, version + 1) for type_ in CATALOG.types for version in range(CATALOG.class_of(type_).version)
        }
        assert sorted(map(version_of, GOLDEN)) == sorted(expected)

    def test_says_when_it_happens(self):
        assert [event.type for event in CLASSES if not event.__doc__.startswith("When ")] == []

    def test_can_leave_out_whatever_may_be_none(self):
        for event_class in CLASSES:
            for name, field in event_class.model_fields.items():
                allows_none = field.annotation is Any or type(None) in getattr(field.annotation, "__args__", ())
                assert not allows_none or field.default is None, (event_class.type, name)

    def test_is_frozen_and_refuses_unknown_fields(self):
        for event_class in CLASSES:
            found = {name: event_class.model_config[name] for name in ("frozen", "extra")}
            assert found == {"frozen": True, "extra": "forbid"}, event_class.type


class TestARoundTrip:
    @UNHURRIED
    @for_any(JSON)
    def test_keeps_every_null_in_what_users_store(self, value):
        for event in (
            TaskCompleted(result=value),
            JobCompleted(node_id="n1", attempt=1, result=value),
            TaskStepRecorded(step=ToolCallStep(kind="tool_call", tool="x", arguments={"value": value})),
        ):
            assert CATALOG.decode(event.type, 1, CATALOG.encode(event)) == event

    def test_stores_no_field_that_is_none(self):
        event = TaskStepRecorded(step=MessageStep(kind="message", role="assistant"))
        assert CATALOG.encode(event) == b'{"step":{"kind":"message","role":"assistant"}}'


class TestANodeOfBeforeKinds:
    @pytest.mark.parametrize("type_", ["node.registered", "fleet.node_added"])
    def test_does_every_kind_and_is_stored_as_it_was(self, type_):
        stored = (Path(__file__).parent / f"golden/{type_}.v1.json").read_bytes().strip()
        event = CATALOG.decode(type_, 1, stored)
        assert event.kinds is None
        named = event.model_copy(update={"kinds": ("container", "train")})
        assert CATALOG.encode(named) == stored[:-1] + b',"kinds":["container","train"]}'
        assert CATALOG.decode(type_, 1, CATALOG.encode(named)) == named


class TestAnUnknownType:
    @pytest.mark.parametrize("data", [b"{}", "{}", {}], ids=["bytes", "text", "parsed"])
    @pytest.mark.parametrize(("type_", "version"), [("task.dreamt", 1), ("task.started", 2), ("task.started", 0)])
    def test_is_named(self, type_, version, data):
        with pytest.raises(UnknownEventType) as caught:
            CATALOG.decode(type_, version, data)
        assert (caught.value.type, caught.value.schema_version) == (type_, version)

    def test_has_no_class(self):
        with pytest.raises(UnknownEventType):
            CATALOG.class_of("task.dreamt")

    def test_is_not_the_same_as_spoilt_data(self):
        for spoilt in (b"", b"{", b'{"agent_id":7}', b'{"agent_id":"a1","more":1}'):
            with pytest.raises(ValidationError):
                CATALOG.decode("task.started", 1, spoilt)


class Measured(Event):
    """When something was measured."""

    type = "test.measured"
    version = 3

    length_mm: int
    unit: str


UPCASTERS = {
    ("test.measured", 1): lambda data: {"length_mm": data["length_cm"] * 10},
    ("test.measured", 2): lambda data: {**data, "unit": "mm"},
}


class TestAnOlderVersion:
    @pytest.mark.parametrize(
        ("version", "data"),
        [(1, b'{"length_cm":2}'), (2, b'{"length_mm":20}'), (3, b'{"length_mm":20,"unit":"mm"}')],
    )
    def test_is_brought_up_to_date_step_by_step(self, version, data):
        catalog = Catalog(Measured, upcasters=UPCASTERS)
        expected = Measured(length_mm=20, unit="mm")
        assert catalog.decode("test.measured", version, data) == expected
        assert catalog.decode("test.measured", version, json.loads(data)) == expected

    def test_needs_an_upcaster(self):
        with pytest.raises(ValueError, match="lacks an upcaster from version 1"):
            Catalog(Measured)


class TestACatalog:
    def test_refuses_a_type_that_is_used_twice(self):
        with pytest.raises(ValueError, match="used twice"):
            Catalog(TaskCompleted, TaskCompleted)
