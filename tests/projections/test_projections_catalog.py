"""What holds for every read model."""

import pytest

from projections.catalog import CATALOG


@pytest.mark.parametrize("projection", CATALOG, ids=lambda projection: projection.name)
class TestEveryReadModel:
    def test_has_its_tenant_first_in_key_and_indexes(self, projection):
        assert projection.key[0] == "tenant_id"
        assert all(index[0] == "tenant_id" for index in projection.indexes)

    def test_has_a_column_for_all_that_its_key_and_indexes_name(self, projection):
        named = {*projection.key, *(column for index in projection.indexes for column in index)}
        assert named <= set(projection.row.model_fields)

    def test_keeps_the_position_of_the_last_event(self, projection):
        assert "position" in projection.row.model_fields


class TestTheCatalog:
    def test_names_each_read_model_once(self):
        assert len({projection.name for projection in CATALOG}) == len(CATALOG)
