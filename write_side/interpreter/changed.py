"""A changed copy of frozen data: what `dataclasses.replace` gives, without a call of `__init__`.

An event of a run takes several such copies of what has thirty fields; they would be most of its cost. What is copied so keeps its fields
in a `__dict__` and not in slots: that is copied at once, however many there are.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace  # so that the names and types of fields are checked
else:

    def replace(known: Any, **changes: Any) -> Any:
        """A copy with these fields changed. Raises TypeError for a field that there is not."""
        copy = object.__new__(type(known))
        fields = copy.__dict__
        fields.update(known.__dict__)
        size = len(fields)
        fields.update(changes)
        if len(fields) != size:
            raise TypeError(f"{type(known).__name__} has no such field: {', '.join(changes)}")
        return copy


__all__ = ["replace"]
