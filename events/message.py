"""What happens to a message: an event of somebody else's, published here for whoever listens."""

from events.event import Event, JsonAny, JsonObject, Text


class MessagePublished(Event):
    """When a CloudEvent (version 1.0) came in; `event_id` and `event_type` are its `id` and `type`.

    `time` is as its sender wrote it (RFC 3339). `extensions` are its other attributes: texts, whole numbers and truth values.
    """

    type = "message.published"

    event_id: Text
    source: Text
    event_type: Text
    subject: Text | None = None
    time: Text | None = None
    datacontenttype: Text | None = None
    dataschema: Text | None = None
    data: JsonAny = None
    data_base64: str | None = None
    extensions: JsonObject = {}


MessageEvent = MessagePublished
