"""Data as JSON, to see how large it would be where it is kept: quickly, models by their fields."""

import orjson
from pydantic import BaseModel

NotJson = orjson.JSONEncodeError


def written(value: object) -> bytes:
    """The value as JSON in UTF-8. Raises NotJson for what is none."""
    return orjson.dumps(value, default=_fields)


def _fields(part: object) -> object:
    if isinstance(part, BaseModel):
        return part.__dict__
    raise TypeError(type(part).__name__)
