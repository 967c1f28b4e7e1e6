"""Numbers as cells."""

from __future__ import annotations

from reid_dml.cells import nats, percent, rank_cells, with_sd


def test_a_cmc_shorter_than_ten_ranks_is_flat_from_its_end():
    assert rank_cells([0.5, 0.625]) == ["50.00", "62.50", "62.50"]
    assert rank_cells([0.1 * rank for rank in range(1, 11)] + [1.0] * 40) == ["10.00", "50.00", "100.00"]


def test_what_was_not_measured_is_an_empty_cell():
    assert (percent(None), nats(None)) == ("", "")
    assert (percent(0.0), nats(0.0)) == ("0.00", "0.0000")


def test_a_deviation_stands_behind_its_mean():
    assert with_sd("51.50", "2.12") == "51.50 ± 2.12"
    assert with_sd("51.50", "") == "51.50"
    assert with_sd("", "") == ""
