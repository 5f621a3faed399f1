"""The decider of messages: CloudEvents of others, each published once."""

import pytest
from pydantic import ValidationError

from events.message import MessagePublished
from write_side.message import MESSAGE, DataTwice, MessageIdTaken, PublishMessage

SMALLEST = {"specversion": "1.0", "id": "17", "source": "/shop", "type": "order.paid"}
WHOLE = {
    **SMALLEST,
    "subject": "order/17",
    "time": "2026-01-02T03:04:05.123456789+01:00",
    "datacontenttype": "application/json; charset=utf-8",
    "dataschema": "https://shop.example/schemas/order",
    "data": {"amount": 12, "note": None},
    "partitionkey": "17",
    "sequence": 4.0,
    "urgent": True,
    "nothing": None,
}
PUBLISHED = MessagePublished(event_id="17", source="/shop", event_type="order.paid")


def publish(**members):
    return PublishMessage(event={**SMALLEST, **members})


class TestAnEvent:
    def test_is_published_with_all_that_it_holds(self, given):
        published = MessagePublished(
            event_id="17",
            source="/shop",
            event_type="order.paid",
            subject="order/17",
            time="2026-01-02T03:04:05.123456789+01:00",
            datacontenttype="application/json; charset=utf-8",
            dataschema="https://shop.example/schemas/order",
            data={"amount": 12, "note": None},
            extensions={"partitionkey": "17", "sequence": 4, "urgent": True},
        )
        given(MESSAGE).when(PublishMessage(event=WHOLE)).then(published)

    def test_needs_no_more_than_the_specification_asks_for(self, given):
        given(MESSAGE).when(publish()).then(PUBLISHED)

    def test_may_hold_its_data_in_base64(self, given):
        published = PUBLISHED.model_copy(update={"data_base64": "AQI="})
        given(MESSAGE).when(publish(data_base64="AQI=")).then(published)

    def test_holds_its_data_once(self, given):
        given(MESSAGE).when(publish(data=1, data_base64="AQI=")).then_refused(DataTwice, 422)

    def test_has_a_stream_of_its_own_by_source_and_id(self):
        streams = {
            MESSAGE.stream_of(publish(**members))
            for members in ({}, {"id": "18"}, {"source": "/shop1", "id": "7"}, {"source": "/sho", "id": "p17"})
        }
        assert len(streams) == 4
        assert MESSAGE.stream_of(publish()) == MESSAGE.stream_of(publish(type="order.sent", data=1))

    def test_is_the_same_the_second_time_and_changes_nothing(self, given):
        scenario = given(MESSAGE).when(PublishMessage(event=WHOLE))
        scenario.when(PublishMessage(event=dict(reversed(WHOLE.items())))).then_nothing()

    @pytest.mark.parametrize(
        "members", [{"type": "order.sent"}, {"data": 1}, {"sequence": 1}, {"subject": "x"}], ids=str
    )
    def test_is_refused_if_another_has_its_source_and_id(self, given, members):
        given(MESSAGE, PUBLISHED).when(publish(**members)).then_refused(MessageIdTaken)


class TestAMember:
    @pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
    def test_that_is_required_has_to_be_there(self, name):
        with pytest.raises(ValidationError):
            PublishMessage(event={member: value for member, value in SMALLEST.items() if member != name})
        for value in ("", None):
            with pytest.raises(ValidationError):
                publish(**{name: value})

    @pytest.mark.parametrize("name", ["Upper", "under_score", "with-hyphen", "", "ä", "a b", "data_base65", "a\n"])
    def test_has_a_name_of_lower_case_letters_and_digits(self, name):
        with pytest.raises(ValidationError):
            publish(**{name: "x"})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("specversion", "0.3"),
            ("id", "a\nb"),
            ("id", "x" * 2_001),
            ("id", 1),
            ("source", "a b"),
            ("source", "%zz"),
            ("source", "ä"),
            ("type", "\x7f"),
            ("subject", ""),
            ("time", "yesterday"),
            ("time", "2026-01-02"),
            ("time", "2026-01-02T03:04:05"),
            ("time", "2026-02-30T03:04:05Z"),
            ("time", "2026-01-02T03:04:61Z"),
            ("time", "٢٠٢٦-01-02T03:04:05Z"),
            ("datacontenttype", "json"),
            ("datacontenttype", ""),
            ("dataschema", "/relative"),
            ("data_base64", "A"),
            ("data_base64", "AQI"),
            ("data_base64", "AQI=\n"),
            ("extension", {}),
            ("extension", [1]),
            ("extension", 1.5),
            ("extension", 1 << 31),
            ("extension", "a\x00"),
            ("extension", "x" * 2_001),
        ],
    )
    def test_is_refused_if_it_is_not_as_the_specification_has_it(self, name, value):
        with pytest.raises(ValidationError):
            publish(**{name: value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
            ("source", "//example.com/a%20b?c#d"),
            ("time", "2016-12-31t23:59:60z"),
            ("time", "2026-01-02T03:04:05-00:00"),
            ("datacontenttype", "application/vnd.shop+json"),
            ("data_base64", ""),
            ("extension", -(1 << 31)),
            ("extension", ""),
        ],
    )
    def test_is_taken_if_it_is(self, name, value):
        publish(**{name: value})
