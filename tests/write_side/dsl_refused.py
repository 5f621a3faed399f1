"""A statement of the workflow language about what must not be: a definition that is refused, and the place that is wrong."""

from dataclasses import dataclass
from typing import Any

import pytest

from write_side.definition.reading import InvalidDefinition
from write_side.workflow import RegisterWorkflow


@dataclass(frozen=True, slots=True)
class Refused:
    """`section` of the reference `says` what must not be; `pointer` is where it is found."""

    section: str
    says: str
    definition: str
    pointer: str

    def __str__(self) -> str:
        return f"{self.section}: {self.says}"


def check_refused(case: Refused, document: dict[str, Any]) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        RegisterWorkflow(definition=document)
    assert case.pointer in {error["pointer"] for error in refused.value.details["errors"]}
    assert refused.value.status == 422
