"""More patience than in service, so that a busy machine fails no test; a test of slowness names its own bound."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.expressions import program, schema
from infra.expressions.bounds import BOUNDS


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (program, schema):
            patch.setattr(module, "BOUNDS", replace(BOUNDS, seconds_max=20.0))
        yield
