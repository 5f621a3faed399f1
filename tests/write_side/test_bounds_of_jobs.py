"""What a job may ask for."""

import pytest
from pydantic import ValidationError

from events.job import Requirements
from write_side.job import CompleteJob, SubmitJob

NEED = {"cpu_milli": 1_000, "memory_mib": 512}


class TestTheShareOfAGpu:
    @pytest.mark.parametrize(
        ("need", "milli"),
        [
            ({}, 0),
            ({"gpu_count": 0, "gpu_milli": 0}, 0),
            ({"gpu_count": 1}, 1_000),
            ({"gpu_count": 8}, 1_000),
            ({"gpu_count": 8, "gpu_milli": 1_000}, 1_000),
            ({"gpu_count": 1, "gpu_milli": 1}, 1),
        ],
        ids=str,
    )
    def test_is_all_of_it_unless_said_otherwise(self, need, milli):
        assert Requirements(**NEED, **need).gpu_milli == milli

    @pytest.mark.parametrize(
        "need",
        [
            {"gpu_milli": 1_000},
            {"gpu_count": 1, "gpu_milli": 0},
            {"gpu_count": 1, "gpu_milli": 1_001},
            {"gpu_count": 1, "gpu_milli": -1},
            {"gpu_count": 2, "gpu_milli": 500},
            {"gpu_count": -1},
            {"gpu_count": 65},
            {"gpu_count": "many"},
            {"gpu_count": 1.5},
        ],
        ids=str,
    )
    def test_makes_sense_for_the_number_of_gpus(self, need):
        with pytest.raises(ValidationError):
            Requirements(**NEED, **need)


class TestAJob:
    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": ""},
            {"kind": "a\x00b"},
            {"requirements": {"cpu_milli": 0, "memory_mib": 0}},
            {"requirements": {"cpu_milli": 10_000_001, "memory_mib": 0}},
            {"requirements": {"cpu_milli": 1, "memory_mib": -1}},
            {"requirements": {**NEED, "gpu_models": [f"m{number}" for number in range(65)]}},
            {"requirements": None},
            {"priority": -1},
            {"priority": 10},
            {"retries": -1},
            {"retries": 21},
            {"depends_on": ["d1", "d1"]},
            {"depends_on": [f"d{number}" for number in range(1_001)]},
            {"depends_on": [""]},
            {"credits_offered": -1},
            {"credits_offered": 10**13},
            {"labels": {f"l{number}": "x" for number in range(65)}},
            {"payload": {"deep": None, "nul": "\x00"}},
            {"payload": []},
            {"shoe_size": 43},
        ],
        ids=lambda fields: str(fields)[:60],
    )
    def test_is_bounded(self, fields):
        with pytest.raises(ValidationError):
            SubmitJob(**{"kind": "train", "requirements": NEED, **fields})

    def test_may_depend_on_a_thousand_others(self):
        depends_on = [f"d{number}" for number in range(1_000)]
        assert len(SubmitJob(kind="train", requirements=NEED, depends_on=depends_on).depends_on) == 1_000

    @pytest.mark.parametrize("fields", [{"attempt": 0}, {"duration_ms": -1}, {"duration_ms": 10**13}], ids=str)
    def test_reports_within_bounds(self, fields):
        with pytest.raises(ValidationError):
            CompleteJob(**{"job_id": "j1", "attempt": 1, **fields})
