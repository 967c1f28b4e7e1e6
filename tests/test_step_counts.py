"""How many operators a training step calls: fewer than it used to, and no more than the record says."""

from __future__ import annotations

import json

import pytest

from tests.conftest import REPOSITORY

RECORDS = REPOSITORY / "results" / "benchmarks"
START, NOW = (
    json.loads((RECORDS / f"step_counts_{name}.json").read_text())["cohorts"] for name in ("cpu_start", "cpu")
)


@pytest.mark.parametrize("name", START)
def test_a_step_calls_no_more_operators_than_recorded(monkeypatch, name):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    from step_counts import COHORTS, count

    found = count([*COHORTS[name], "TRAIN.BATCH_SIZE", "4"])  # its size changes no count
    assert found["operators"] == NOW[name]["plain"]["operators"]
    assert found["kernels"] == 0


@pytest.mark.parametrize("name", START)
def test_a_compiled_step_takes_less_than_half_of_what_a_step_took(name):
    together = NOW[name]["compiled"]["operators"] + NOW[name]["compiled"]["kernels"]
    assert 0 < 2 * together < START[name]["plain"]["operators"]
    assert NOW[name]["plain"]["operators"] < START[name]["plain"]["operators"]
