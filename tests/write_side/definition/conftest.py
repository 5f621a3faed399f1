"""The specification's own folder, where it is."""

import pytest

from read_side.demo.recorded import data_folder
from tests.write_side.definition.official import Official


@pytest.fixture(scope="session")
def official() -> Official:
    folder = data_folder(None)
    if folder is None or not (folder / "open-workflow").is_dir():
        pytest.skip("the Open Workflow Specification is not here: set FOLDWORK_DATA")
    return Official(folder / "open-workflow")
