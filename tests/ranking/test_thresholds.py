"""Files of thresholds: those of the calibration are read, damaged ones refused."""

from __future__ import annotations

import json
import math

import pytest

from reid_dml.errors import UserError
from reid_dml.ranking.thresholds import Threshold

GOOD = {"threshold": 0.5, "metric": "cosine", "model": "", "same_person": {"slope": 2.0, "intercept": -1.0}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({**GOOD, "same_person": {"slope": math.nan, "intercept": 1}}),
        json.dumps({**GOOD, "same_person": {"slope": 1, "intercept": math.inf}}),
        json.dumps({**GOOD, "threshold": -math.inf}),
        json.dumps({**GOOD, "threshold": 10**400}),
        "[" * 100_000,
    ],
    ids=["slope", "intercept", "infinite", "huge", "deep"],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    file = tmp_path / "t.json"
    file.write_text(json.dumps(GOOD))
    assert Threshold.read(file).same_person.probability(0.5) == 0.5
    file.write_text(text)
    with pytest.raises(UserError, match=r"t\.json: not a threshold file of reid-dml calibrate"):
        Threshold.read(file)
