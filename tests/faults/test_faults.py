"""A small share of the campaign in every test run; `python -m tests.faults` is the long one."""

from __future__ import annotations

import pytest

from tests.faults.campaign import Campaign


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, tiny_config):
    return Campaign(tmp_path_factory.mktemp("faults"), tiny_config, seed=14)


def check(attempts):
    assert not [attempt for attempt in attempts if not attempt.good]


def test_a_killed_run_goes_on_to_the_same_bits(campaign):
    check([campaign.kill()])


def test_a_disk_error_is_one_line_and_the_run_goes_on_to_the_same_bits(campaign):
    check([campaign.error()])


def test_damaged_files_are_refused_or_harmless(campaign):
    check([attempt for _ in range(3) for attempt in campaign.flips()])


def test_fuzzed_configs_and_feature_files_are_refused_or_read(campaign):
    check([campaign.fuzz_config() for _ in range(20)] + [campaign.fuzz_features() for _ in range(10)])
